"""Text options arrive as typed; what is Hydra's grammar stays so."""

import pkgutil
from dataclasses import is_dataclass
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from cellflax.commands import COMMANDS
from cellflax.evaluate import EvaluateConfig
from cellflax.overrides import as_typed
from cellflax.predict import PredictConfig
from cellflax.schemas import field_types, split_optional
from cellflax.training.config import TrainConfig

NAMES = [
    "2024_01_01",
    "1.10",
    "1e3",
    "007",
    "true",
    "inf",
    "a,b.tif",
    "a=b.tif",
    "x[1].tif",
    "exp[1]/*.tif",
    "[1].tif",
    "{a}.tif",
    "a (1).tif",
    "range(1,3)",
    "Größe",
    "日本",
    " x ",
    "Bob's",
    "Bob's, Al's",
    "'a'b",
    '"',
    "C:\\data\\x",
    "C:\\data\\",
    "\\'",
    "a\nb",
    "#1",
    "a:b",
    "100%",
    "a;b&c",
    "~x",
]


def parsed(argument: str, schema: type = PredictConfig, sweep: bool = False) -> Any:
    return OverridesParser.create().parse_override(as_typed(argument, schema, sweep)).value()


def jobs(argument: str) -> list[Any]:
    """Values of an option in the jobs of a sweep: Hydra reads them again for each job."""
    parser = OverridesParser.create()
    sweep = parser.parse_override(as_typed(argument, PredictConfig, sweep=True))
    return [parser.parse_override(f"output={value}").value() for value in sweep.sweep_string_iterator()]


@pytest.mark.parametrize("name", NAMES)
def test_a_text_arrives_as_typed(name):
    assert parsed(f"output={name}") == name
    assert parsed(f"nuclei={name}") == name
    assert parsed(f"+references.manual={name}", EvaluateConfig) == name
    assert parsed(f"data.root={name}", TrainConfig) == name


@pytest.mark.parametrize("name", [name for name in NAMES if "," not in name and name == name.strip()])
def test_a_text_in_a_list_in_keys_and_in_a_sweep(name):
    assert parsed(f"channels=[a, {name}]") == ["a", name]
    assert parsed(f"references={{a: {name}, b: x}}", EvaluateConfig) == {"a": name, "b": "x"}
    if "(1,3)" not in name:
        assert jobs(f"output={name},x") == [name, "x"]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("output='1_0'", "1_0"),
        ('output="a b"', "a b"),
        ("nuclei=null", None),
        ("output=", ""),
        ("output=runs/${name}/${now:%Y-%m-%d}", "runs/${name}/${now:%Y-%m-%d}"),
        ("tile=512", 512),
        ("pixel_size_um=1_0.5", 10.5),
        ("refine=watershed", "watershed"),
        ("+experiment=2024_01_01", "2024_01_01"),
        ("channels=['a,b',\"c\"]", ["a,b", "c"]),
        ("channels=[]", []),
        ("channels=phase", ["phase"]),
    ],
)
def test_grammar_that_is_meant_stays(argument, value):
    assert parsed(argument) == value


def test_numbers_within_lists_of_keys_stay_numbers():
    stages = [{"kernels": [4], "filters": [8]}, {"kernels": [3], "filters": [8]}]
    assert parsed("model.stages=[{kernels:[4],filters:[8]},{kernels:[3],filters:[8]}]", TrainConfig) == stages


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("output=2024_01_01,1.10", ["2024_01_01", "1.10"]),
        ("output='a,b',c", ["a,b", "c"]),
        ("output=choice(1_0,b)", ["1_0", "b"]),
        ("tile=range(64,66)", [64, 65]),
        ("refine=watershed,threshold", ["watershed", "threshold"]),
        ("channels=[a,1_0],[c]", [["a", "1_0"], ["c"]]),
    ],
)
def test_values_of_a_sweep(argument, values):
    assert jobs(argument) == values


OTHERS = ["-m", "~refine", "--config-dir=1_0", "hydra.job.num=1_0", "tile=1,2", "model.width=[a"]


@pytest.mark.parametrize("argument", OTHERS)
def test_other_arguments_stay(argument):
    assert as_typed(argument, PredictConfig, sweep=False) == argument


def text_keys(schema: type, prefix: str = "") -> list[str]:
    """Every option of a command whose type is text, groups of options aside."""
    keys = []
    for name, hint in field_types(schema).items():
        inner, _ = split_optional(hint)
        if inner is str:
            keys.append(prefix + name)
        elif isinstance(inner, type) and is_dataclass(inner):
            keys += text_keys(inner, f"{prefix}{name}.")
    return keys


@pytest.mark.parametrize("command", COMMANDS)
def test_every_text_option_of_every_command(command):
    schema = pkgutil.resolve_name(COMMANDS[command])
    keys = text_keys(schema)
    assert keys
    for key in keys:
        assert parsed(f"{key}=2024_01_01", schema) == "2024_01_01", key
