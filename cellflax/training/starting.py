"""Trainings that start from a trained network: what it brings into the configuration, and its weights."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flax import nnx

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.jsonfile import read_json
from cellflax.models import Network
from cellflax.progress import say
from cellflax.schemas import from_json, to_json
from cellflax.training.checkpoint import named_leaves
from cellflax.training.config import TrainConfig
from cellflax.training.frozen import is_in
from cellflax.training.record import has_checkpoint, read_record
from cellflax.training.transfer import Transfer, parts, transfer
from cellflax.training.weights import find_weights, read_weights
from cellflax.wholefile import is_blank

_GROUPS, _SETTINGS = ("model", "target"), ("normalize", "scale")
SIZES = ("scale.factor", "scale.pixel_size_um")  # what sets the size of cells in the network
STARTED_FROM = "started_from"  # in the record of a checkpoint


@dataclass(frozen=True)
class Override:
    """A value of the configuration with its reason.

    Attributes:
        key: dotted key of `TrainConfig`; `model` and `target` are whole groups.
        value: JSON; of a group, with its kind.
        reason: why, in words for the screen.
    """

    key: str
    value: Any
    reason: str


def starting_overrides(source: str) -> list[Override]:
    """What a trained network needs of the configuration of a training that starts from it.

    Args:
        source: as `start_from`.

    Raises:
        UserError: as `read_weights`.
    """
    return _overrides(to_json(read_weights(source).config), source)


def _overrides(config: dict[str, Any], source: str) -> list[Override]:
    reason = f"as in start_from={source}"
    groups = ((group, config[group]) for group in _SETTINGS)
    settings = [Override(f"{group}.{key}", value, reason) for group, values in groups for key, value in values.items()]
    return [*(Override(group, config[group], reason) for group in _GROUPS), *settings]


def started(config: TrainConfig, run: Path, given: Sequence[str]) -> TrainConfig:
    """A configuration with what its `start_from` brings; what the command line gives stays.

    Args:
        config: the configuration as composed.
        run: directory of the run. If it is resumed, the source is not read, and its own configuration takes its place.
        given: overrides of the command line, or keys.

    Raises:
        UserError: as `read_weights`.
    """
    source = config.start_from
    if source is None:
        return config
    keys = {override.lstrip("+~").partition("=")[0] for override in given}
    before = _stored(run)
    resumes = before is not None and before.get("start_from") == source
    overrides = _overrides(before, source) if before is not None and resumes else starting_overrides(source)
    content = to_json(config)
    for override in overrides:
        if any(_covers(key, override.key) for key in keys):
            continue
        *groups, last = override.key.split(".")
        place = content
        for group in groups:
            place = place[group]
        if place[last] != override.value and not resumes:
            new, old = _short(override.value), _short(place[last])
            say(f"{override.key}={new}: {override.reason} (it was {'another ' if new == old else ''}{old})")
        place[last] = override.value
    return from_json(TrainConfig, content)


def _stored(run: Path) -> dict[str, Any] | None:
    """The configuration of the run in a directory; None if there is none that can be read, which `train` reports."""
    path = run / results.CONFIG
    try:
        if path.exists() and not is_blank(path):
            content = read_json(path, "train again")
        elif has_checkpoint(run):
            content = read_record(find_weights(run, "last"))["config"]
        else:
            return None
        return to_json(from_json(TrainConfig, content))
    except UserError:
        return None


def _covers(given: str, key: str) -> bool:
    """Whether a key of the command line is this key, above it, or below it."""
    return given == key or key.startswith(f"{given}.") or given.startswith(f"{key}.")


def _short(value: Any) -> str:
    return str(value["kind"]) if isinstance(value, dict) and "kind" in value else json.dumps(value)


def start(
    config: TrainConfig, channels: Sequence[str], outputs: Sequence[str], members: list[Network], frozen: Sequence[str]
) -> dict[str, Any]:
    """Put the weights of `start_from` into new networks, and list on the screen what was taken.

    Args:
        config: configuration of the training, with `start_from`.
        channels: names of the channels.
        outputs: names of the network's outputs.
        members: the networks, which are changed.
        frozen: parts that training will leave as they are.

    Returns:
        JSON for the record of the checkpoints: where the weights come from, and what of them was taken.

    Raises:
        UserError: if the source cannot be read or does not fit, or a part that shall be frozen is not known.
    """
    assert config.start_from is not None
    source = read_weights(config.start_from)
    found = transfer(source, config.model, channels, outputs, members)
    _require_known(found, frozen)
    _, *states = nnx.split(members[0], nnx.Param, ...)
    names = list(named_leaves(dict(zip(("params", "stats"), states, strict=True))))
    data, before = source.record["data"], source.record.get(STARTED_FROM)
    record = {
        "path": str(source.path),
        "step": source.step,
        "networks": source.config.trainer.ensemble,
        "weights": weights_checksum(source.record),
        "source": data.get("source"),
        "simulated": bool(data["simulated"]) or learned_from_simulation(before),
        STARTED_FROM: before,
        "taken": parts(found.taken, names),
        "adapted": {name.partition(".")[2]: words for name, words in found.adapted.items()},
        "fresh": parts(found.fresh, names),
        "frozen": list(frozen),
    }
    say(f"start_from: {source.path}, step {source.step}; {record['source']}")
    if record["simulated"]:
        say("start_from: SIMULATED DATA: the weights that this training starts from were learned from simulated images")
    say(f"start_from: taken: {', '.join(record['taken']) or 'nothing as it is'}")
    for name, words in record["adapted"].items():
        say(f"start_from: adapted: {name} ({words})")
    if found.fresh:
        reasons = sorted(found.fresh, key=lambda name: not name.endswith(".kernel"))
        say(f"start_from: at random: {', '.join(record['fresh'])} ({found.fresh[reasons[0]]})")
    if frozen:
        say(f"frozen: {', '.join(frozen)}")
    return record


def _require_known(found: Transfer, frozen: Sequence[str]) -> None:
    """Refuse to freeze what the source did not give: it would stay random, or blind for a channel."""
    wrong = {name: f"would stay random ({reason})" for name, reason in found.fresh.items()}
    if found.new_channels:
        wrong |= {name: f"would not see a channel ({words})" for name, words in found.adapted.items() if "new" in words}
    for name, reason in wrong.items():
        array = name.partition(".")[2]
        if is_in(array, frozen):
            raise UserError(f"freeze: {array} {reason}; leave its part out of freeze")


def weights_checksum(record: dict[str, Any]) -> str:
    """A sum of all weights of a checkpoint, by which it can be told from others."""
    return f"{zlib.crc32(json.dumps(record['crc32'], sort_keys=True).encode()):08x}"


def learned_from_simulation(started_from: Any) -> bool:
    """Whether a record of `start` says that the weights came from simulated images."""
    return isinstance(started_from, dict) and started_from.get("simulated") is True
