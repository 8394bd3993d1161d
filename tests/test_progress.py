"""Progress of a loop, with and without a terminal."""

import io

from cellflax.progress import Progress


def test_progress_without_a_terminal_prints_lines_with_rate_and_time_left():
    now, stream = 0.0, io.StringIO()
    progress = Progress(140, initial=100, line_seconds=30, stream=stream, clock=lambda: now)
    for step in range(101, 141):
        now += 60 if step == 101 else 2  # compiling, then half a step per second
        progress.update(step, f"loss {step}")
        if step == 120:
            progress.note("validation 0.8")
    assert stream.getvalue().splitlines() == [
        "step 101/140, loss 101",
        "step 116/140, 0.5 steps/s, 00:48 left, loss 116",
        "validation 0.8",
        "step 131/140, 0.5 steps/s, 00:18 left, loss 131",
        "step 140/140, 0.5 steps/s, 00:00 left, loss 140",
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_on_a_terminal_is_a_bar():
    stream = Terminal()
    with Progress(10, initial=4, stream=stream) as progress:
        progress.update(7, "loss 0.5")
        progress.note("validation 0.8")
        progress.update(10, "loss 0.25")
    assert "10/10" in stream.getvalue()
    assert "loss 0.25" in stream.getvalue()
    assert "validation 0.8\n" in stream.getvalue()


def test_a_long_batch_of_images_has_few_lines():
    now, stream = 0.0, io.StringIO()
    with Progress(1000, line_seconds=30, stream=stream, clock=lambda: now, unit="images") as bar:
        for index in range(1000):
            now += 0.5
            bar.brief(f"i{index}: 3 cells")
            bar.done(f"i{index}")
    lines = stream.getvalue().splitlines()
    assert lines[:20] == [f"i{index}: 3 cells" for index in range(20)]
    assert lines[20] == "the others of 1000 images have no line of their own"
    assert lines[21] == "image 60/1000, 2 images/s, 07:50 left, i59"
    assert lines[-1] == "image 1000/1000, 2 images/s, 00:00 left, i999"
    assert len(lines) < 45


def test_blocks_of_a_large_image_count():
    now, stream = 0.0, io.StringIO()
    with Progress(2, line_seconds=30, stream=stream, clock=lambda: now, unit="images") as bar:
        for block in range(1, 5):
            now += 20
            bar.part("block", block, 4)
        bar.done("a")
    assert stream.getvalue().splitlines() == [
        "image 0/2, 80 s per image, 02:00 left, block 2/4",
        "image 1/2, 80 s per image, 01:20 left, a",
    ]


def test_a_short_batch_has_no_lines_of_progress():
    stream = io.StringIO()
    with Progress(2, stream=stream, unit="images") as bar:
        for name in "ab":
            bar.brief(f"{name}: 3 cells")
            bar.done(name)
    assert stream.getvalue() == "a: 3 cells\nb: 3 cells\n"


def test_images_on_a_terminal_are_a_bar_below_the_first_lines():
    stream = Terminal()
    with Progress(40, stream=stream, unit="images") as bar:
        for index in range(40):
            bar.brief(f"i{index}: 3 cells")
            bar.part("block", 1, 2)
            bar.done(f"i{index}")
    assert "i19: 3 cells\n" in stream.getvalue()
    assert "i20: 3 cells" not in stream.getvalue()
    assert "40/40" in stream.getvalue()
