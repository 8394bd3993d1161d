"""What the user gives to `python -m benchmarks.peers`."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from cellflax.errors import UserError
from cellflax.home import expand_home


@dataclass(frozen=True)
class Options:
    """The command line.

    Attributes:
        train: folder with images and labels, in a layout of `data=folder`; one channel.
        test: another one, which only the scores see.
        output: folder for the results. A peer that has its result there already is not run again.
        minutes: > 0; from the start of each peer's program to the end of its training.
        only: names of the peers to run.
        seed: >= 0; of the held-out images and of the trainings.
        cores: >= 1; cores that each peer may use.
        device: auto, cpu or gpu; auto takes the GPU where `nvidia-smi` finds one.
        cellflax: further words for the training of cellflax, such as `model=unet trainer.steps=100`.
    """

    train: Path
    test: Path
    output: Path
    minutes: float
    only: tuple[str, ...]
    seed: int
    cores: int
    device: str
    cellflax: str


_USAGE = "python -m benchmarks.peers TRAIN TEST OUTPUT [minutes=15] [only=stardist,cellpose] [seed=0] [cores=2]"
_DEVICES = ("auto", "cpu", "gpu")


def parse(words: Sequence[str], peers: Sequence[str]) -> Options:
    """Read the command line.

    Args:
        words: as typed.
        peers: names of all peers.

    Raises:
        UserError: in one line, if something is missing, unknown or out of range.
    """
    known = {field.name for field in fields(Options)} - {"train", "test", "output"}
    settings = {key: value for key, sign, value in (word.partition("=") for word in words) if sign and "/" not in key}
    folders = [word for word in words if "=" not in word or "/" in word.partition("=")[0]]
    for key in settings:
        if key not in known:
            raise UserError(f"{key}={settings[key]}: no such setting; there are {', '.join(sorted(known))}")
    if len(folders) != 3:
        raise UserError(f"three folders are needed, TRAIN TEST OUTPUT, and {len(folders)} are given; {_USAGE}")
    train, test, output = (Path(expand_home(folder)) for folder in folders)
    for folder in (train, test):
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; give one with images/ and labels/")
    only = tuple(settings.get("only", ",".join(peers)).split(","))
    for name in only:
        if name not in peers:
            raise UserError(f"only={settings['only']}: there is no peer {name or 'without a name'}; {', '.join(peers)}")
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    device = settings.get("device", "auto")
    if device not in _DEVICES:
        raise UserError(f"device={device}: must be {', '.join(_DEVICES[:-1])} or {_DEVICES[-1]}")
    return Options(
        train=train.resolve(),
        test=test.resolve(),
        output=output.resolve(),
        minutes=_number(settings, "minutes", 15.0, "a number above 0", lambda value: 0 < value < float("inf")),
        only=only,
        seed=int(_whole(settings, "seed", 0, 0, 2**31 - 1)),
        cores=int(_whole(settings, "cores", min(2, available), 1, available)),
        device=device,
        cellflax=settings.get("cellflax", ""),
    )


def _whole(settings: dict[str, str], key: str, default: int, low: int, high: int) -> float:
    what = f"a whole number from {low} to {high}"
    return _number(settings, key, default, what, lambda value: low <= value <= high and value == int(value))


def _number(settings: dict[str, str], key: str, default: float, what: str, is_right) -> float:
    try:
        value = float(settings.get(key, default))
        if is_right(value):
            return value
    except (ValueError, OverflowError):
        pass
    raise UserError(f"{key}={settings[key]}: must be {what}; for example {key}={default:g}")
