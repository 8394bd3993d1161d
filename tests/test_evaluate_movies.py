"""Label movies are scored frame by frame."""

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax.errors import UserError
from cellflax.evaluate import evaluate
from tests.evaluation.fields import PREDICTED, REFERENCE, config


def test_movies_are_scored_frame_by_frame_with_everything_beside_them(tmp_path):
    frames = [REFERENCE, PREDICTED, REFERENCE]
    for name, movie in (("p/m_labels.tif", frames), ("r/m.tif", [REFERENCE] * 3), ("i/m.tif", frames)):
        (tmp_path / name).parent.mkdir()
        tifffile.imwrite(tmp_path / name, np.stack(movie).astype(np.uint16), metadata={"axes": "TYX"}, ome=True)
    rows = [("m", t, label, 0.5 + t) for t, frame in enumerate(frames) for label in np.unique(frame[frame > 0])]
    pd.DataFrame(rows, columns=["image", "frame", "label", "uncertainty"]).to_csv(tmp_path / "p/cells.csv", index=False)
    (tmp_path / "p/m_probability.tif").touch()
    metrics = evaluate(
        config(
            tmp_path,
            predicted=str(tmp_path / "p/*_labels.tif"),
            reference=str(tmp_path / "r"),
            image=str(tmp_path / "i"),
            references={"other": str(tmp_path / "r")},
        )
    )
    assert [metrics["images"][f"m_{t}"]["jaccard_index"] == 1 for t in range(3)] == [True, False, True]
    assert metrics["references"]["other"]["n_images"] == 3
    assert metrics["notes"] == [
        f"pixels not scored: {tmp_path / 'p/m_labels.tif'} is a movie; give single images for the ROC of pixels"
    ]
    table = pd.read_csv(tmp_path / "out" / "uncertainty.csv")
    assert sorted(set(table["image"])) == ["m_0", "m_1", "m_2"]
    assert len(table) == len(rows)
    with pytest.raises(UserError, match="is a movie; give single images"):
        evaluate(
            config(
                tmp_path,
                predicted=str(tmp_path / "p/*_labels.tif"),
                reference=str(tmp_path / "r"),
                probability=str(tmp_path / "p/m_probability.tif"),
                overwrite=True,
            )
        )
