"""Damage to HDF5 files that HDF5 itself accepts: links, sizes, compression, data that are kept elsewhere."""

import random
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.fuzz.pictures import bomb


def _members(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visit(lambda name: names.append(name) or None)
    return names


def links(rng: random.Random, path: Path) -> str:
    """A link in the place of a group or an array."""
    with h5py.File(path, "r+") as file:
        name = rng.choice(_members(file))
        del file[name]
        target = rng.choice(
            (
                h5py.ExternalLink("/etc/passwd", "/"),
                h5py.ExternalLink("other.h5", "/x"),
                h5py.ExternalLink(path.name, name),
                h5py.ExternalLink("pipe", "/"),
                h5py.SoftLink("/"),
                h5py.SoftLink(f"/{name}"),
                h5py.SoftLink("/nowhere"),
                None,
            )
        )
        if target is None:
            file[name] = file["/"]  # a circle of groups
        else:
            file[name] = target
    return f"{name} is {type(target).__name__}"


def datasets(rng: random.Random, path: Path) -> str:
    """Another array in the place of one."""
    with h5py.File(path, "r+") as file:
        name = rng.choice([name for name in _members(file) if isinstance(file[name], h5py.Dataset)])
        old: Any = file[name]
        shape = old.shape
        what = rng.choice(
            (
                "huge",
                "huge chunk",
                "empty",
                "text",
                "external",
                "virtual",
                "bomb",
                "NaN",
                "object",
                "scalar",
                "axes",
                "lzf",
                "int",
            )
        )
        del file[name]
        match what:
            case "huge":
                size = rng.choice((2**20, 2**31, 2**40))
                file.create_dataset(name, (size, *shape[1:]), "f4", chunks=(1024, *shape[1:]), compression="gzip")
            case "huge chunk":
                file.create_dataset(name, (2**28,), "f4", chunks=(2**28,), compression="gzip")
            case "empty":
                file[name] = h5py.Empty("f4")
            case "text":
                file[name] = "text"
            case "external":
                file.create_dataset(name, shape, "f4", external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)])
            case "virtual":
                layout = h5py.VirtualLayout(shape, "f4")
                layout[...] = h5py.VirtualSource("other.h5", "x", shape)
                file.create_virtual_dataset(name, layout)
            case "bomb":
                made = file.create_dataset(name, shape, "f4", chunks=shape, compression="gzip")
                made.id.write_direct_chunk((0,) * len(shape), bomb(rng))
            case "NaN":
                file[name] = np.full(shape, np.nan, "f4")
            case "object":
                file.create_dataset(name, shape, h5py.vlen_dtype(np.float32))
            case "scalar":
                file[name] = np.float32(1)
            case "axes":
                file[name] = np.zeros((1,) * 20, "f4")
            case "lzf":
                file.create_dataset(name, shape, "f4", compression="lzf")
            case _:
                file[name] = np.ones(shape, "i8")
    return f"{name}: {what}"


def attributes(rng: random.Random, path: Path) -> str:
    """Other names of layers, and other descriptions."""
    with h5py.File(path, "r+", libver="latest") as file:
        root: Any = file.get("model_weights", file)
        names = [str(name) for name in _members(root)]
        values: tuple[Any, ...] = (
            [b"../x"], [b"/"], [b"."], [b""], [b"a" * 1000] * 50, 7, 1.5, "x", np.zeros((100, 100)), [b"\xff\xfe"],
            [b"model_weights"], [names[0].encode()] * 3, [name.encode() for name in names], h5py.Empty("S1"),
        )  # fmt: skip
        key = rng.choice(("layer_names", "layer_names", "model_config", "keras_version"))
        node = file if key != "layer_names" else root
        if rng.random() < 0.2:
            node.attrs.pop(key, None)
            return f"{key} removed"
        if key == "model_config":
            texts = (
                "{",
                "[]",
                "{}",
                "[" * 100_000,
                '{"config": 7}',
                '{"config": [{"config": 1}]}',
                "\\ud800",
                "9" * 5000,
            )
            node.attrs[key] = rng.choice(texts)
        else:
            node.attrs[key] = rng.choice(values)
    return key


HDF5 = (links, links, datasets, datasets, attributes)
