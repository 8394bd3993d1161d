"""Parts plug in: a definition, one line in a table and one YAML are all that a command needs.

Each part here is defined in this file, as it would be in one of its own below `cellflax/`.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tifffile
from flax import nnx

from cellflax import evaluate, predict, train
from cellflax.data.example import Dataset, Example
from cellflax.data.sampler import CropsConfig
from cellflax.data.split import whole
from cellflax.errors import UserError
from cellflax.labels import components
from cellflax.losses import Loss, LossConfig
from cellflax.metrics.score import CellScores
from cellflax.metrics.table import METRICS
from cellflax.models import Geometry, ModelConfig, Network
from cellflax.prediction.nuclei import nuclei_finder
from cellflax.prediction.trained import load_model
from cellflax.refine import RefineConfig
from cellflax.schemas import GROUPS
from cellflax.training.composition import check_composition
from cellflax.training.config import TrainConfig
from cellflax.training.held_out import held_out_regions
from cellflax.training.optimizers import OptimizerConfig
from tests.commands import TINY, metrics_of, record_of, run_command
from tests.evaluation.fields import PREDICTED, REFERENCE, write_fields


@dataclass
class BrightConfig(RefineConfig):
    """Cells where the image itself is brighter than a share of its maximum; nuclei are cut out of them."""

    takes_seeds: ClassVar[bool] = True

    share: float = 0.5
    channel: int = 0

    def intensity_plane(self, channels):
        """The channel of that number."""
        return self.channel

    def label(self, field):
        """See the class."""
        bright = field.intensity > self.share * field.intensity.max()
        return components(bright if field.seeds is None else bright & (field.seeds == 0))


def uncovered(scores: CellScores) -> float:
    """Share of the reference cells' pixels that no predicted cell covers."""
    area = sum(table.reference_area.sum() for table in scores.tables)
    return float(1 - sum(table.intersection.sum() for table in scores.tables) / area)


@dataclass
class FocalConfig(LossConfig):
    """Cross-entropy, less for pixels that are sure already (Lin et al. 2017)."""

    gamma: float = 2.0

    def build(self, class_names, pixels) -> Loss:
        """The function of logits, classes and weights."""

        def focal(logits, target, weight):
            surprise = optax.softmax_cross_entropy_with_integer_labels(logits, target)
            return jnp.mean(weight * (1 - jnp.exp(-surprise)) ** self.gamma * surprise)

        return focal


@dataclass
class PointwiseConfig(ModelConfig):
    """A network that sees one pixel."""

    takes_patches: ClassVar[bool] = True

    width: int = 4

    def build(self, *, channels: int, classes: int, seed: int) -> Network:
        """A new one."""
        return Pointwise(self.width, channels, classes, nnx.Rngs(seed))


class Pointwise(Network):
    """Two layers at every pixel."""

    def __init__(self, width: int, channels: int, classes: int, rngs: nnx.Rngs):
        self.geometry = Geometry()
        self.hidden = nnx.Linear(channels, width, rngs=rngs)
        self.output = nnx.Linear(width, classes, rngs=rngs)

    def __call__(self, x: jax.Array, *, train: bool = False, key: jax.Array | None = None) -> jax.Array:
        """Logits of every pixel."""
        return self.output(jax.nn.relu(self.hidden(x)))


@dataclass
class LionConfig(OptimizerConfig):
    """Lion (Chen et al. 2023)."""

    def update(self, rate):
        """See `optax.lion`."""
        return optax.lion(rate)


@pytest.fixture
def plug_in(monkeypatch, tmp_path):
    """Enter a part in the table of kinds and write its YAML, in a folder of the user's own."""

    def plug_in(group: str, kind: str, name: str, text: str = "") -> str:
        monkeypatch.setitem(GROUPS[group], kind, f"tests.test_plugins:{name}")
        path = tmp_path / "conf" / group / f"{kind}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(f"defaults: [{kind}_schema, _self_]\n{text}")
        return f"hydra.searchpath=[file://{tmp_path / 'conf'}]"

    return plug_in


def test_a_refinement(plug_in, trained, fields, tmp_path):
    search = plug_in("refine", "bright", "BrightConfig", "share: 0.4\n")
    out = tmp_path / "out"
    arguments = (f"checkpoint={trained.path}", f"input={fields / 'images'}", "channels=[phase,nuclear]")
    chosen = ("refine=bright", "refine.channel=1", search, f"output={out}")
    result = run_command(predict.main, *arguments, *chosen)
    assert result.status == 0, result.err
    nuclear = tifffile.imread(fields / "images" / "field_0007_nuclear.tif")
    labels = tifffile.imread(out / "field_0007_labels.tif")
    nuclei = tifffile.imread(fields / "nuclei" / "field_0007.tif")
    bright = nuclear > 0.4 * nuclear.max()
    assert 0 < np.count_nonzero(labels) < np.count_nonzero(bright)  # less the nuclei that the seed channel shows
    assert bright[labels > 0].all()
    settings = json.loads((out / "provenance.json").read_text())["settings"]["refine"]
    assert settings == {"kind": "bright", "share": 0.4, "channel": 1}

    result = run_command(predict.main, *arguments, *chosen, f"nuclei={fields / 'nuclei'}", "overwrite=true")
    assert result.status == 0, result.err
    np.testing.assert_array_equal(tifffile.imread(out / "field_0007_labels.tif") > 0, bright & (nuclei == 0))


@dataclass
class NeedyConfig(BrightConfig):
    """One that needs all that there is."""

    needs_seeds: ClassVar[bool] = True
    needs_pixel_size: ClassVar[bool] = True
    needs_compartments: ClassVar[bool] = True


def test_what_a_refinement_needs_is_asked_for_by_its_name(plug_in):
    plug_in("refine", "needy", "NeedyConfig")
    compartments = ("nucleus", "cytoplasm", "background")
    config = TrainConfig(refine=NeedyConfig(), sampler=CropsConfig(), seed_channel=None)
    image = np.ones((8, 8, 1), np.float32)
    labels = np.zeros((8, 8), np.int32)
    example = Example("a", image, labels.astype(np.int8), labels)
    without = Dataset((example,), (whole(example),), ("rna",), ("interior", "background"), "test")
    with pytest.raises(UserError, match="refine=needy starts from the classes nucleus and cytoplasm"):
        check_composition(config, without)
    with pytest.raises(UserError, match="a: its pixel size is unknown, and refine=needy measures in micrometres"):
        check_composition(config, replace(without, class_names=compartments))
    with pytest.raises(UserError, match="refine=needy starts from nuclei: name their seed_channel"):
        held_out_regions(config, without, Geometry(), nuclei_finder(config))


def test_a_metric(monkeypatch, tmp_path):
    monkeypatch.setitem(METRICS, "uncovered", uncovered)
    folders = write_fields(tmp_path)
    paths = [f"{key}={folders / key}" for key in ("predicted", "reference")]
    result = run_command(evaluate.main, *paths, f"output={tmp_path / 'out'}")
    assert result.status == 0, result.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    missed, area = np.count_nonzero((REFERENCE > 0) & (PREDICTED == 0)), np.count_nonzero(REFERENCE)
    assert metrics["images"]["a"]["uncovered"] == pytest.approx(missed / area)
    assert metrics["images"]["b"]["uncovered"] == 0
    assert metrics["pooled"]["uncovered"] == pytest.approx(missed / (2 * area))


SHORT = ("trainer.steps=2", "trainer.validate_every=2", "trainer.log_every=1", "trainer.devices=1")
SMALL_DATA = (
    *("data=simulated", "data.fields=1", "data.validation_fields=1"),
    *("data.field.height=128", "data.field.width=128", "data.field.pixel_size_um=1.3"),
)


def train_with(run: Path, *arguments: str) -> None:
    """Train for two steps; the losses are numbers."""
    result = run_command(train.main, *arguments, *SHORT, f"run={run}")
    assert result.status == 0, result.err
    assert all(np.isfinite(line["train_loss"]) for line in metrics_of(run) if "train_loss" in line)


def test_a_cost_and_an_optimizer(plug_in, tmp_path):
    plug_in("loss", "focal", "FocalConfig", "gamma: 1.5\n")
    search = plug_in("optimizer", "lion", "LionConfig")
    train_with(tmp_path / "run", *TINY, "loss=focal", "optimizer=lion", search)
    config = record_of(tmp_path / "run", 2)["config"]
    assert config["loss"] == {"kind": "focal", "l2": 1e-5, "gamma": 1.5}
    assert config["optimizer"]["kind"] == "lion"
    assert load_model(tmp_path / "run").config.loss == FocalConfig(gamma=1.5)


@pytest.mark.parametrize("sampler", [("sampler=crops", "sampler.size=32"), ("sampler=patches", "sampler.batch=8")])
def test_a_network(sampler, plug_in, tmp_path):
    """Trained and rebuilt from its checkpoint; on patches too, because it says that it takes them."""
    search = plug_in("model", "pointwise", "PointwiseConfig")
    others = ("normalize.window_px=31", "optimizer.warmup_steps=0", "logger.wandb=disabled")
    train_with(tmp_path / "run", "model=pointwise", "model.width=3", *sampler, *SMALL_DATA, *others, search)
    model = load_model(tmp_path / "run")
    assert model.config.model == PointwiseConfig(width=3)
    assert model.geometry == Geometry()
    probability = np.asarray(model.probabilities(np.zeros((1, 3, 5, 2), np.float32)))
    assert probability.shape == (1, 3, 5, 3)
    np.testing.assert_allclose(probability.sum(-1), 1, rtol=1e-5)
