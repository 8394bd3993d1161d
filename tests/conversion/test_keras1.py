"""Published networks: what Theano computed from their files, and what was published with them."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest
import tifffile
from flax import nnx

from cellflax.conversion.keras1 import PublishedNetwork, read_published, to_module
from cellflax.data.normalize import NormalizeConfig, normalize
from cellflax.errors import UserError
from cellflax.models.patch_net import PatchNetConfig, Regularization, Stage
from tests.conversion.keras1_files import BATCH_NORM, DEEPER, DROPOUT, LARGER_MAP, PARTLY, PATCH, Published


def assert_equal_everywhere(network: PublishedNetwork, published: Published) -> None:
    """Densely, the converted network gives at each pixel what Theano gave for the patch around it."""
    image = np.random.default_rng(1).normal(size=(PATCH + 2, PATCH + 3, published.channels)).astype(np.float32)
    module = to_module(network)
    assert module.geometry.receptive_field == PATCH
    logits = np.asarray(nnx.jit(lambda module, x: module(x))(module, image[None]))[0]
    expected = [
        [published.logits(image[i : i + PATCH, j : j + PATCH].transpose(2, 0, 1)) for j in range(4)] for i in range(3)
    ]
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(logits, np.asarray(expected), rtol=2e-5, atol=2e-5)


# --- what Theano computes ---


@pytest.mark.parametrize(
    ("layers", "channels", "classes", "release"),
    [
        (BATCH_NORM, 1, 3, None),
        (BATCH_NORM, 2, 4, "1.0.7"),
        (DROPOUT, 2, 3, None),
        (DROPOUT, 1, 4, "1.0.7"),
        (DEEPER, 2, 4, None),
        (LARGER_MAP, 2, 3, None),
        (PARTLY, 2, 3, "1.2.2"),
    ],
)
def test_computes_what_theano_computed(layers, channels, classes, release, tmp_path):
    published = Published(layers, channels, classes, release)
    network = read_published(published.write(tmp_path / "net.h5"))
    assert (network.channels, network.classes) == (channels, classes)
    assert_equal_everywhere(network, published)


@pytest.mark.parametrize("release", [None, "1.0.7", "1.0.8"])
def test_filters_that_hardly_vary(release, tmp_path):
    """Where epsilon counts: dead filters of a trained network."""
    published = Published(BATCH_NORM, release=release)
    for name in ("batchnormalization_1", "batchnormalization_4"):
        arrays = published.arrays[name]
        arrays["running_std"][:3] = (0, 1e-8, 1e-6)
        arrays["gamma"][:3] *= published.spread(arrays["running_std"][:3])  # keeps the outputs of order 1
    network = read_published(published.write(tmp_path / "net.h5"))
    assert_equal_everywhere(network, published)


def test_a_network_that_does_not_begin_at_one(tmp_path):
    """Keras counts layers over all networks of a process, as when DeepCell trains an ensemble in one."""
    published = Published(BATCH_NORM)
    later = {name: f"{name.rpartition('_')[0]}_{int(name.rpartition('_')[2]) + 9}" for name in published.names}
    published.names = [later[name] for name in published.names]
    published.arrays = {later[name]: arrays for name, arrays in published.arrays.items()}
    assert_equal_everywhere(read_published(published.write(tmp_path / "net.h5")), published)


# --- the architecture ---


def test_architecture(tmp_path):
    def config(layers: str, release: str | None = None) -> PatchNetConfig:
        return read_published(Published(layers, release=release).write(tmp_path / "net.h5")).config

    stages = [Stage([2], [4]), Stage([2], [5]), Stage([2], [6])]
    none, dropout = Regularization.none, Regularization.dropout
    assert config(BATCH_NORM) == PatchNetConfig(stages, [7], batch_norm_epsilon=1e-6)
    assert config(DROPOUT) == PatchNetConfig(stages, [7], regularization=dropout, batch_norm_epsilon=1e-6)
    assert config(DROPOUT, "1.0.7").dropout == 0.25
    assert config(DROPOUT.replace("X ", "")).regularization is none
    assert config(DEEPER).stages == [Stage([4, 3], [3, 4]), Stage([3], [4])]
    assert config(DEEPER).dense == [5, 6]
    assert config(LARGER_MAP).stages == [Stage([2], [4]), Stage([2, 4], [5, 7])]
    assert config(LARGER_MAP).dense == []


# --- the published files ---

STAGES_31 = [Stage([4], [32]), Stage([3, 3], [64, 64]), Stage([3, 3], [128, 200])]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("folder", "files", "channels", "classes", "stages"),
    [
        ("HeLa", 5, 2, 3, PatchNetConfig().stages),
        ("3T3", 5, 2, 3, PatchNetConfig().stages),
        ("MCF10A_3T3_semantic", 2, 2, 4, PatchNetConfig().stages),
        ("Nuclear", 3, 1, 3, PatchNetConfig().stages),
        ("ecoli/ecoli_all", 2, 1, 3, STAGES_31),
    ],
)
def test_published_architectures(data_root, folder, files, channels, classes, stages):
    paths = sorted((data_root / "deepcell/trained_networks" / folder).glob("*.h5"))
    assert len(paths) == files
    for path in paths:
        network = read_published(path)
        assert network.config == PatchNetConfig(stages, [200], batch_norm_epsilon=1e-6)
        assert (network.channels, network.classes) == (channels, classes)
        assert path.stem.rpartition("_net_")[2].startswith(f"{network.config.receptive_field}x")


@pytest.mark.real_data
@pytest.mark.parametrize(("cell_line", "nuclear"), [("HeLa", "farred"), ("3T3", "dapi")])
def test_published_probabilities(data_root, cell_line, nuclear):
    """Acceptance: the maps that P1 published, of which a part is computed here."""
    folder = data_root / "deepcell/validation_data" / cell_line
    image = np.stack([tifffile.imread(folder / f"RawImages/{name}.tif") for name in ("phase", nuclear)], axis=-1)
    part = (slice(200, 296), slice(180, 276))
    window = tuple(slice(s.start - 30, s.stop + 30) for s in part)
    x = normalize(image, NormalizeConfig(), 61)[window][None]
    predict = nnx.jit(lambda module, x: jax.nn.softmax(module(x)))
    paths = sorted((data_root / "deepcell/trained_networks" / cell_line).glob("*.h5"))
    mean = np.mean([predict(to_module(read_published(path)), x)[0] for path in paths], axis=0)
    published = [tifffile.imread(folder / f"Cytoplasm/feature_{k}_frame_0.tif")[part] for k in range(3)]
    assert np.std(published[1]) > 0.2
    assert np.abs(mean - np.stack(published, axis=-1)).max() < 2e-5


# --- bad input ---


def write(path: Path, change: Callable[[Published], object], layers: str = BATCH_NORM, release: str | None = None):
    published = Published(layers, release=release)
    change(published)
    return published.write(path)


def edit(path: Path, change: Callable[[h5py.File], object], release: str | None = None) -> Path:
    write(path, lambda _: None, release=release)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def describe(path: Path, change: Callable[[list[dict]], object]) -> Path:
    """A whole model whose description is changed."""

    def replace(file: h5py.File) -> None:
        description = json.loads(file.attrs["model_config"])
        change(description["config"])
        file.attrs["model_config"] = json.dumps(description)

    return edit(path, replace, release="1.0.7")


def setting(index: int, **values: object) -> Callable[[Path], Path]:
    return lambda path: describe(path, lambda layers: layers[index]["config"].update(values))


def array(layer: str, key: str, value: object) -> Callable[[Path], Path]:
    return lambda path: write(path, lambda p: p.arrays[layer].update({key: np.asarray(value)}))


def rename(old: str, new: str) -> Callable[[Path], Path]:
    def change(published: Published) -> None:
        published.names[published.names.index(old)] = new
        published.arrays[new] = published.arrays.pop(old)

    return lambda path: write(path, change)


def layers(text: str) -> Callable[[Path], Path]:
    return lambda path: write(path, lambda _: None, text.format(classes=3))


def text_file(path: Path) -> Path:
    path.write_text("not HDF5")
    return path


def truncated(path: Path) -> Path:
    write(path, lambda _: None)
    path.write_bytes(path.read_bytes()[:-3000])
    return path


def without(key: str) -> Callable[[Path], Path]:
    def delete(file: h5py.File) -> None:
        del file[key]

    return lambda path: edit(path, delete)


def described_as(text: str) -> Callable[[Path], Path]:
    return lambda path: edit(path, lambda file: file.attrs.create("model_config", text), release="1.0.7")


def listed_as(names: object) -> Callable[[Path], Path]:
    return lambda path: edit(path, lambda file: file.attrs.create("layer_names", names))


W = "convolution2d_2_W"

BAD = [
    (lambda path: path, "no such file"),
    (lambda path: path.mkdir() or path, "no such file"),
    (text_file, "cannot be read as HDF5"),
    (truncated, "cannot be read as HDF5"),
    (lambda path: edit(path, lambda file: file.attrs.clear()), "not one of Keras 1"),
    (listed_as("convolution2d_1"), "the network ends with convolution2d_1"),
    (listed_as([b"\xff"]), "cannot be read as HDF5"),
    (listed_as([b"maxpooling2d_7"]), "layer maxpooling2d_7 is listed but missing"),
    (listed_as([b"convolution2d_1"] * 2), "names a layer twice"),
    (without("dense_2"), "layer dense_2 is listed but missing"),
    (without(f"convolution2d_2/{W}"), f"layer convolution2d_2 has no {W}"),
    (without("batchnormalization_1/batchnormalization_1_running_std"), "has no batchnormalization_1_running_std"),
    (array("convolution2d_2", "W", np.ones((5, 3, 2, 2))), f"{W} is 5 x 3 x 2 x 2, expected any x 4 x any x any"),
    (array("convolution2d_2", "W", 1.0), f"{W} is a scalar"),
    (array("convolution2d_2", "W", np.ones((5, 4, 2, 3))), "layer convolution2d_2 has a kernel of 2 x 3"),
    (array("convolution2d_1", "W", np.ones((4, 2, 3, 3))), "the receptive field must be odd"),
    (array("convolution2d_2", "W", np.zeros((0, 4, 2, 2))), f"{W} does not hold finite numbers"),
    (array("convolution2d_2", "W", np.ones((5, 4, 2, 2), int)), f"{W} does not hold finite numbers"),
    (array("convolution2d_2", "b", np.full(5, np.nan)), "convolution2d_2_b does not hold finite numbers"),
    (array("convolution2d_2", "b", np.ones(4)), "convolution2d_2_b is 4, expected 5"),
    (array("batchnormalization_1", "running_std", [1.0, 1, -1, 1]), "batchnormalization_1 has a negative running_std"),
    (array("dense_1", "W", np.ones((13, 7))), "layer dense_1 has 13 inputs"),
    (array("dense_2", "W", np.ones((8, 3))), "dense_2_W is 8 x 3, expected 7 x any"),
    (rename("maxpooling2d_1", "merge_1"), "layer merge_1 cannot be converted"),
    (rename("maxpooling2d_1", "averagepooling2d_1"), "layer averagepooling2d_1 cannot be converted"),
    (rename("convolution2d_1", "conv2d_1"), "layer conv2d_1 cannot be converted"),
    (rename("maxpooling2d_1", "pool"), "layer pool cannot be converted"),
    (layers("C2-4 R P C2-5 R P C2-6 R"), "the network ends with activation_3"),
    (layers("C2-4 R P C2-5 R P C2-6 R F D7 R D3"), "the network ends with dense_2"),
    (layers("P C2-5 R P C2-6 R F D7 R D3 S"), "layer maxpooling2d_1 cannot be converted: it follows"),
    (layers("C2-4 P R C2-5 R P C2-6 R F D3 S"), "layer maxpooling2d_1 cannot be converted: it follows"),
    (layers("C2-4 R P P C2-6 R F D3 S"), "layer maxpooling2d_2 cannot be converted: it follows"),
    (layers("C2-4 R B P C2-5 R P C2-6 R F D3 S"), "layer batchnormalization_1 cannot be converted: it follows"),
    (layers("C2-4 R P C2-5 R P C2-6 R F D7 D3 S"), "layer dense_2 cannot be converted: it follows"),
    (layers("C2-4 R P C2-5 R P C2-6 R F D7 R D3 B S"), "layer batchnormalization_1 normalises the classes"),
    (layers("C2-4 R P C2-5 R F D3 S"), "layer dense_1 classifies a map of 4 x 4"),
    (layers("X"), "the network ends with the input"),
    (described_as("{"), "model_config does not describe layers"),
    (described_as('{"config": [1]}'), "model_config does not describe layers"),
    (described_as('{"config": []}'), "layer_names differs from model_config"),
    (setting(0, border_mode="same"), "layer convolution2d_1 cannot be converted: border_mode=same, expected valid"),
    (setting(0, subsample=[2, 2]), "layer convolution2d_1 cannot be converted: subsample=[2, 2]"),
    (setting(0, dim_ordering="tf"), "layer convolution2d_1 cannot be converted: dim_ordering=tf"),
    (
        setting(0, batch_input_shape=[None, 2, 12, 12]),
        "batch_input_shape=[None, 2, 12, 12], expected [None, 2, 11, 11]",
    ),
    (setting(1, mode=1), "layer batchnormalization_1 cannot be converted: mode=1"),
    (setting(1, epsilon="small"), "layer batchnormalization_1: epsilon should be a number"),
    (setting(1, epsilon=0), "layer batchnormalization_1 has a negative running_std, or an epsilon of 0"),
    (setting(2, activation="tanh"), "layer activation_1 cannot be converted: activation=tanh, expected relu"),
    (setting(3, pool_size=[3, 3]), "layer maxpooling2d_1 cannot be converted: pool_size=[3, 3]"),
    (setting(-1, activation="sigmoid"), "activation=sigmoid, expected softmax"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=range(len(BAD)))
def test_bad_files(tmp_path, make, message):
    path = make(tmp_path / "net.h5")
    with pytest.raises(UserError) as error:
        read_published(path)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_damage_is_told_or_harmless(tmp_path):
    """Whatever byte is damaged, the reader ends with a network or with a user's error."""
    path = Published(BATCH_NORM, release="1.0.7").write(tmp_path / "net.h5")
    whole, refused = path.read_bytes(), 0
    for position in np.random.default_rng(0).integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            read_published(path)
        except UserError as error:
            refused += "\n" not in str(error)
    assert refused > 5
