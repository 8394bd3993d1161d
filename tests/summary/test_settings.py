"""Which settings a group of runs varies."""

import pytest

from cellflax.summary.settings import find_settings
from tests.run_directories import MULTI_31, NET_21, NET_31, finished, write_run

OTHER = {"kind": "other_net", "depth": 4}


@pytest.mark.parametrize(
    ("changes", "keys", "along", "values"),
    [
        # What cannot change the result is no setting.
        ([{"seed": 1}, {"trainer__devices": 2}, {"logger": {"group": "g"}}, {"data__root": "/a"}], (), (), [()] * 4),
        # Layers give way to the receptive field that follows from them.
        (
            [{"model": NET_21}, {"model": NET_31}],
            ("model.receptive_field_px",), ("model.stages",), [("21",), ("31",)],
        ),
        # ... but not where only they distinguish networks.
        (
            [{"model": NET_31}, {"model": NET_31 | {"dense": [7]}}],
            ("model.dense",), (), [("[200]",), ("[7]",)],
        ),
        (
            [{"model": NET_31}, {"model": NET_31 | {"regularization": "dropout"}}, {"model": MULTI_31}],
            ("model.side_filters", "model.regularization"), ("model.dense",),
            [("[]", "batch_norm"), ("[]", "dropout"), ("[200]", "batch_norm")],
        ),
        # Another kind of network stands for all its keys.
        (
            [{"model": NET_31}, {"model": OTHER}, {"model": OTHER | {"depth": 5}}],
            ("model.kind", "model.depth"),
            ("model.receptive_field_px", "model.stages", "model.dense", "model.side_filters", "model.regularization"),
            [("patch_net", "-"), ("other_net", "4"), ("other_net", "5")],
        ),
        # Scalars that all runs have stay, even if one of them would do.
        (
            [{}, {"optimizer": {"kind": "sgd", "learning_rate": 0.2, "momentum": 0.9}}],
            ("optimizer.kind", "optimizer.learning_rate"), ("optimizer.momentum",), [("adamw", "0.1"), ("sgd", "0.2")],
        ),
        ([{}, {"name": "other"}], ("name",), (), [("toy",), ("other",)]),
        # The same configuration may find other data.
        ([{}, {"source": "2 images"}], ("data source",), (), [("DeepCell HeLa_joint, 5 images",), ("2 images",)]),
        ([{}, {"source": "b", "data__folder": "b"}], ("data.folder",), ("data source",), [("HeLa",), ("b",)]),
        # A network that another version of cellflax wrote: its receptive field is not known.
        (
            [{"model": NET_21 | {"retired": 1}}, {"model": NET_31}],
            ("model.receptive_field_px",), ("model.stages", "model.retired"), [("-",), ("31",)],
        ),
    ],
)  # fmt: skip
def test_settings(tmp_path, changes, keys, along, values):
    runs = finished(*(write_run(tmp_path / str(i), **change) for i, change in enumerate(changes)))
    settings = find_settings(runs)
    assert (settings.keys, settings.along, list(settings.values)) == (keys, along, values)
