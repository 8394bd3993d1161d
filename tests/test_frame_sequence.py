"""Frames of a movie that are packed, or made when they are wanted."""

import numpy as np
import pytest

from cellflax.frame_sequence import FramesOnDemand, PackedFrame, PackedFrames, first_channel

LABELS = np.arange(24, dtype=np.int32).reshape(2, 3, 4) * 10**8


@pytest.mark.parametrize("dtype", [np.int32, np.uint16, np.int64, np.uint8, bool])
def test_packed_frames_are_the_same(dtype):
    frames = LABELS.astype(dtype)
    packed = PackedFrames(iter(frames))
    assert (len(packed), packed.shape, packed.dtype) == (2, (2, 3, 4), frames.dtype)
    np.testing.assert_array_equal(packed[1], frames[1])
    np.testing.assert_array_equal(packed[-2], frames[0])
    np.testing.assert_array_equal(list(packed), frames)
    np.testing.assert_array_equal(packed, frames)
    assert np.asarray(packed).dtype == frames.dtype
    with pytest.raises(ValueError, match="read-only"):
        packed[0][0, 0] = 1


def test_views_and_frames_without_a_pixel_are_packed():
    np.testing.assert_array_equal(PackedFrame(LABELS[0].T).unpack(), LABELS[0].T)
    assert PackedFrame(LABELS[0, :0]).unpack().shape == (0, 4)


def test_a_frame_that_is_not_there_is_an_index_error():
    for frames in (PackedFrames(LABELS), FramesOnDemand(LABELS.shape, np.int32, LABELS.__getitem__)):
        for t in (2, -3):
            with pytest.raises(IndexError, match=f"frame {t} of 2"):
                frames[t]


def test_frames_must_be_alike():
    for frames in ([], [LABELS[0], LABELS[1, 1:]], [LABELS[0], LABELS[1].astype(np.int64)]):
        with pytest.raises(ValueError, match="one shape and data type"):
            PackedFrames(frames)


def test_frames_are_made_when_they_are_wanted():
    made = []

    def make(t):
        made.append(t)
        return LABELS[t]

    frames = FramesOnDemand(LABELS.shape, np.int32, make)
    assert not made
    np.testing.assert_array_equal(frames[-1], LABELS[1])
    np.testing.assert_array_equal(frames, LABELS)
    assert made == [1, 0, 1]


def test_an_array_of_frames_is_never_rounded_or_shared():
    frames = FramesOnDemand((2, 3, 4), np.uint8, lambda t: LABELS[t])
    with pytest.raises(TypeError, match="Cannot cast"):
        np.asarray(frames)
    with pytest.raises(ValueError, match="always a copy"):
        np.asarray(PackedFrames(LABELS), copy=False)


def test_first_channel():
    images = np.arange(2 * 3 * 4 * 2).reshape(2, 3, 4, 2)
    np.testing.assert_array_equal(first_channel(images), images[..., 0])
