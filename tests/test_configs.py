"""Every YAML file below conf/ composes into its dataclass, by the names a user types."""

import dataclasses
import functools
import re
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from cellflax import config as mechanism
from cellflax.annotation.config import AnnotateConfig
from cellflax.config import config_directory
from cellflax.convert import ConvertConfig
from cellflax.correct import CorrectConfig
from cellflax.evaluate import EvaluateConfig
from cellflax.export import ExportConfig
from cellflax.gather import GatherConfig
from cellflax.inspect import InspectConfig
from cellflax.models.patch_net import PatchNetConfig
from cellflax.plan import PlanConfig
from cellflax.predict import PredictConfig
from cellflax.public_data import PublicDataConfig
from cellflax.quantify import QuantifyConfig
from cellflax.schemas import GROUPS, field_types, from_json, to_json
from cellflax.simulate import SimulateConfig
from cellflax.summarize import SummarizeConfig
from cellflax.track import TrackConfig
from cellflax.training.config import TrainConfig
from cellflax.validate import ValidateConfig
from tests.test_launchers import is_installed

CONF = config_directory()
COMMANDS = {
    "inspect": InspectConfig,
    "plan": PlanConfig,
    "train": TrainConfig,
    "predict": PredictConfig,
    "gather": GatherConfig,
    "validate": ValidateConfig,
    "convert": ConvertConfig,
    "export": ExportConfig,
    "evaluate": EvaluateConfig,
    "quantify": QuantifyConfig,
    "simulate": SimulateConfig,
    "annotate": AnnotateConfig,
    "track": TrackConfig,
    "summarize": SummarizeConfig,
    "correct": CorrectConfig,
    "data": PublicDataConfig,
}
WHOLE = {"experiment", "debug", "sweep"}  # folders of additions to a whole configuration: +experiment=...

FILES = sorted(path.relative_to(CONF).with_suffix("") for path in CONF.rglob("*.yaml"))
OPTIONS = [(str(path.parent), path.name) for path in FILES if str(path.parent) != "."]
OF_HYDRA = ("hydra/launcher", "hydra/sweeper")  # tests/test_launchers.py
CHOICES = [(group, option) for group, option in OPTIONS if group not in (*WHOLE, *OF_HYDRA)]
ADDITIONS = [
    (group, option)
    for group, option in OPTIONS
    if group in WHOLE and (option != "learning_rate" or is_installed("optuna", "sweeper"))
]


@functools.cache
def composed(command: str, *overrides: str) -> Any:
    """Compose as the command does, into its dataclass; nothing may change it."""
    schema = COMMANDS[command]
    mechanism._Command(command, schema, lambda _: None, debug=True)._store_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return mechanism.typed_config(compose(command, list(overrides)), schema)


def users_of(group: str) -> list[str]:
    """Commands that have a group."""
    return [name for name, schema in COMMANDS.items() if group in field_types(schema)]


def chosen(group: str, option: str) -> Any:
    """What an option of a group becomes."""
    return getattr(composed(users_of(group)[0], f"{group}={option}"), group)


def test_every_command_has_its_file_and_every_file_is_reached():
    assert {str(path) for path in FILES if str(path.parent) == "."} == set(COMMANDS)
    assert all(users_of(group) for group, _ in CHOICES)


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command):
    typed = composed(command)
    assert type(typed) is COMMANDS[command]
    assert from_json(COMMANDS[command], to_json(typed)) == typed


@pytest.mark.parametrize(("group", "option"), CHOICES)
def test_option(group, option):
    for command in users_of(group):
        typed = composed(command, f"{group}={option}")
        schemas = mechanism.group_types(group).values() if group in GROUPS else [field_types(type(typed))[group]]
        assert type(getattr(typed, group)) in schemas
        assert from_json(COMMANDS[command], to_json(typed)) == typed


@pytest.mark.parametrize(("group", "option"), ADDITIONS)
def test_addition(group, option):
    typed = composed("train", f"+{group}={option}")
    assert typed != composed("train")
    assert group == "sweep" or typed.name == option  # runs are found under the experiment's name
    assert from_json(TrainConfig, to_json(typed)) == typed


@pytest.mark.parametrize("group", GROUPS)
def test_every_kind_has_an_option(group):
    kinds = {type(chosen(group, option)) for other, option in CHOICES if other == group}
    assert kinds == set(mechanism.group_types(group).values())


@pytest.mark.parametrize("option", [option for _, option in OPTIONS if option.startswith("patch_net")])
def test_patch_networks_are_named_after_their_receptive_field(option):
    model = chosen("model", option)
    assert isinstance(model, PatchNetConfig)
    number = re.match(r"patch_net_(\d+)", option)
    assert number is not None
    assert model.receptive_field == int(number[1])


@pytest.mark.parametrize(("group", "option"), CHOICES)
def test_the_first_option_of_a_kind_lists_every_key(group, option):
    """Files are where users look keys up; a file that builds on another one lists what it changes."""
    text = (CONF / group / f"{option}.yaml").read_text()
    listed = set(re.findall(r"^(\w+):", text, re.MULTILINE)) - {"defaults"}
    builds_on_another = "_schema" not in text and "defaults:" in text
    assert builds_on_another or listed == field_types(type(chosen(group, option))).keys()


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_files_say_what_they_are(group, option):
    lines = (CONF / group / f"{option}.yaml").read_text().splitlines()
    comment = lines[1:] if group in WHOLE else lines
    assert comment[0].startswith("# ")
    if group in WHOLE:
        assert lines[0] == "# @package _global_"
        commands = [line for line in comment if line.startswith("#   python -m cellflax.train +")]
        assert commands[0].endswith(f" +{group}={option}")


def test_quick_training_is_smaller_than_any_experiment():
    quick = composed("train", "+debug=quick").trainer.steps
    for group, option in OPTIONS:
        if group == "experiment":
            assert composed("train", f"+experiment={option}").trainer.steps > quick


def listed_keys(lines: list[str], indent: str = "") -> dict[str, tuple[str, list[str]]]:
    """Keys of one level of a YAML file: the text beside each, and the lines below it."""
    found: dict[str, tuple[str, list[str]]] = {}
    inside: list[str] = []
    for line in lines:
        if match := re.match(rf"{indent}(\w+):(.*)", line):
            inside = []
            found[match[1]] = (match[2], inside)
        else:
            inside.append(line)
    return found


def check_all_keys_are_listed(schema: type, listed: dict[str, tuple[str, list[str]]], indent: str = "") -> None:
    for name, hint in field_types(schema).items():
        assert name in listed, f"{schema.__name__}.{name}"
        text, below = listed[name]
        assert dataclasses.is_dataclass(hint) or "#" in text, f"{schema.__name__}.{name} has no comment"
        if dataclasses.is_dataclass(hint):
            check_all_keys_are_listed(hint, listed_keys(below, indent + "  "), indent + "  ")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_file_of_a_command_lists_every_key(command):
    """Groups (`model: unet`) stand in the defaults list; every other key has its value and a comment."""
    files = ("train", "plan") if command == "plan" else (command,)  # one builds on the other
    lines = [line for file in files for line in (CONF / f"{file}.yaml").read_text().splitlines()]
    groups = {match[1] for line in lines if (match := re.match(r"  - (\w+): ", line))}
    listed = listed_keys(lines) | {group: ("#", []) for group in groups}
    schema = COMMANDS[command]
    plain = {name: hint for name, hint in field_types(schema).items() if name not in groups}
    assert set(listed) - {"defaults", "hydra"} == field_types(schema).keys()
    check_all_keys_are_listed(dataclasses.make_dataclass(schema.__name__, list(plain.items())), listed)


# Files that set what the dataclass leaves open or sets otherwise, with the reason.
OWN_VALUES = {
    "coculture": {"lines"},  # adds stand-ins that look like each line
}
OPTION_OF = {"deepcell": "hela", "patch_net": "patch_net_61"}  # where no option has the name of the kind


@pytest.mark.parametrize(("group", "kind"), [(group, kind) for group in GROUPS for kind in GROUPS[group]])
def test_the_option_of_a_kind_has_its_defaults(group, kind):
    """The file and the dataclass may not contradict each other."""
    in_file = chosen(group, OPTION_OF.get(kind, kind))
    in_code = type(in_file)()
    other = {name for name in field_types(type(in_file)) if getattr(in_file, name) != getattr(in_code, name)}
    assert other == OWN_VALUES.get(kind, set())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_file_of_a_command_has_the_defaults_of_its_dataclass(command):
    schema, typed = COMMANDS[command], composed(command)
    plain = [name for name, hint in field_types(schema).items() if hint is not Any]
    other = {name for name in plain if getattr(typed, name) != getattr(schema(), name)}
    # Where a run goes depends on the time; the default data are HeLa-S3 with their nuclear channel. A plan is made for
    # data=folder, which mean other intensities, tuning and calibration.
    of_plan = {"run", "seed_channel", "normalize", "tune", "calibrate"}
    assert other == {"train": {"run", "seed_channel"}, "plan": of_plan}.get(command, set())
