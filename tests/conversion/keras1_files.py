"""Networks as Keras 1 on Theano would write and compute them."""

import json
from pathlib import Path

import h5py
import numpy as np
from scipy import signal

BATCH_NORM = "C2-4 B R P C2-5 B R P C2-6 B R F D7 B R D{classes} S"  # 11 x 11
DROPOUT = "C2-4 R P C2-5 R P C2-6 X R F D7 X R D{classes} S"
DEEPER = "C4-3 B R C3-4 B R P C3-4 B R F D5 B R D6 B R D{classes} S"  # 11 x 11
LARGER_MAP = "C2-4 B R P C2-5 B R F D7 B R D{classes} S"  # the dense layer flattens 4 x 4 pixels
PARTLY = "C2-4 B R P C2-5 R P C2-6 R F D7 B R D{classes} S"

KINDS = {
    "C": "Convolution2D",
    "B": "BatchNormalization",
    "R": "Activation",
    "S": "Activation",
    "P": "MaxPooling2D",
    "X": "Dropout",
    "F": "Flatten",
    "D": "Dense",
}
SETTINGS = {
    "C": {"border_mode": "valid", "subsample": [1, 1], "dim_ordering": "th", "activation": "linear"},
    "B": {"mode": 0, "axis": 1, "epsilon": 1e-6},
    "R": {"activation": "relu"},
    "S": {"activation": "softmax"},
    "P": {"pool_size": [2, 2], "strides": [2, 2], "border_mode": "valid", "dim_ordering": "th"},
    "X": {"p": 0.25},
    "F": {},
    "D": {"activation": "linear"},
}
PATCH = 11


class Published:
    """A network as Keras 1 would hold it, written by `write` and computed by `logits`.

    Args:
        layers: C2-4 is a 2 x 2 convolution with 4 filters, D7 a dense layer, B a batch normalisation, R and S
            ReLU and softmax, P a pooling, X a dropout, F the flattening.
        channels: of the image.
        release: of Keras, for a whole model; None for weights alone.
    """

    def __init__(self, layers: str, channels: int = 2, classes: int = 3, release: str | None = None):
        self.release, self.channels = release, channels
        self.layers = layers.format(classes=classes).split()
        self.names: list[str] = []
        self.arrays: dict[str, dict[str, np.ndarray]] = {}
        rng = np.random.default_rng(7)
        width, map_edge = channels, PATCH
        for layer in self.layers:
            kind = KINDS[layer[0]].lower()
            name = f"{kind}_{1 + sum(n.rpartition('_')[0] == kind for n in self.names)}"
            arrays: dict[str, np.ndarray] = {}
            match layer[0]:
                case "C":
                    edge, filters = (int(n) for n in layer[1:].split("-"))
                    shape = (filters, width, edge, edge)
                    width, map_edge = filters, map_edge - edge + 1
                    arrays = {"W": rng.normal(0, np.prod(shape[1:]) ** -0.5, shape), "b": rng.normal(size=filters)}
                case "P":
                    map_edge //= 2
                case "F":
                    width, map_edge = width * map_edge**2, 1
                case "D":
                    filters = int(layer[1:])
                    arrays = {"W": rng.normal(0, width**-0.5, (width, filters)), "b": rng.normal(size=filters)}
                    width = filters
                case "B":
                    arrays = {key: rng.normal(size=width) for key in ("gamma", "beta", "running_mean")}
                    arrays["running_std"] = rng.uniform(0.2, 3, width)
            self.names.append(name)
            self.arrays[name] = {key: value.astype(np.float32) for key, value in arrays.items()}

    def description(self) -> dict:
        """What Keras writes as model_config."""
        layers = [
            {"class_name": KINDS[layer[0]], "config": {"name": name, **SETTINGS[layer[0]]}}
            for layer, name in zip(self.layers, self.names, strict=True)
        ]
        layers[0]["config"]["batch_input_shape"] = [None, self.channels, PATCH, PATCH]
        return {"class_name": "Sequential", "config": layers}

    def write(self, path: Path) -> Path:
        """Write the file as Keras does."""
        with h5py.File(path, "w") as file:
            root = file
            if self.release is not None:
                root = file.create_group("model_weights")
                file.attrs["keras_version"] = self.release.encode()
                file.attrs["model_config"] = json.dumps(self.description()).encode()
            root.attrs["layer_names"] = [name.encode() for name in self.names]
            for name, arrays in self.arrays.items():
                group = root.create_group(name)
                group.attrs["weight_names"] = [f"{name}_{key}".encode() for key in arrays]
                for key, value in arrays.items():
                    group[f"{name}_{key}"] = value
        return path

    def logits(self, patch: np.ndarray) -> np.ndarray:
        """Of one (channels, PATCH, PATCH) patch, transcribed from Keras's Theano backend."""
        x = patch.astype(np.float64)
        for layer, name in zip(self.layers, self.names, strict=True):
            w = self.arrays[name]
            match layer[0]:
                case "C":
                    sums = [sum(signal.convolve(c, k, mode="valid") for c, k in zip(x, f, strict=True)) for f in w["W"]]
                    x = np.stack(sums) + w["b"][:, None, None]
                case "P":
                    n = x.shape[1] // 2
                    x = x[:, : 2 * n, : 2 * n].reshape(len(x), n, 2, n, 2).max(axis=(2, 4))
                case "F":
                    x = x.reshape(-1)
                case "D":
                    x = x @ w["W"] + w["b"]
                case "R":
                    x = np.maximum(x, 0)
                case "B":
                    like = (-1,) + (1,) * (x.ndim - 1)
                    mean, gamma, beta = (w[key].reshape(like) for key in ("running_mean", "gamma", "beta"))
                    x = (x - mean) / self.spread(w["running_std"].astype(np.float64)).reshape(like) * gamma + beta
        return x

    def spread(self, stored: np.ndarray) -> np.ndarray:
        """What a batch normalisation divides by."""
        match self.release:
            case None:
                return stored + 1e-6
            case "1.0.7":
                return np.sqrt(stored) + 1e-6
            case _:
                return np.sqrt(stored + 1e-6)
