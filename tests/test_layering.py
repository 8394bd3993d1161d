"""Imports point one way, and nothing in the package can run code from a file."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "cellflax"

# Every room of the house (a module or folder of cellflax/), from the ground floor up, as ARCHITECTURE.md draws them.
# A room imports rooms of lower ranks alone: none of its own rank, none above.
RANKS = (
    "errors schema_source home huge_pages interruption locks",
    "atomic checks commands wholefile progress composed_once quick_yaml",
    "jsonfile labels frame_sequence ignored directory_lock device",
    "schemas models io simulation targets networks launching",
    "config_errors command_help overrides composition losses conversion refine data",
    "config tracking labeling inference catalogue",
    "metrics recomposition",
    "measure",
    "pictures exporting",
    "report",
    "training annotation inspection",
    "prediction quantification",
    "evaluation tuning calibration guidance correction networks_to_go planning",
    "summary api __main__",
    "napari_plugin",
    "inspect plan train predict validate evaluate track quantify annotate simulate export convert summarize correct "
    "public_data",
    "gather",
)
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms.split()}
ENTRIES = set(RANKS[-1].split())

# Who may use what lives at the edges; no library package is among them.
USERS_OF = {
    "hydra": {
        *("config", "config_errors", "overrides", "composition", "composed_once", "recomposition"),
        *("launching/results", "launching/own_process"),
    },
    "wandb": {"training/runlog"},
    "orbax": {"training/checkpoint"},
}

# What could run code from a file: unpickling, and evaluating text.
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}


def modules() -> dict[str, ast.Module]:
    """Syntax trees by path within the package, such as `data/images`."""
    return {
        str(path.relative_to(PACKAGE).with_suffix("")): ast.parse(path.read_text())
        for path in sorted(PACKAGE.rglob("*.py"))
    }


MODULES = modules()


def imported(tree: ast.Module) -> set[str]:
    """Full names of all that a module imports, at its top or within its functions."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own(name: str) -> set[str]:
    """First parts, below the package, of a module's imports from the package: `data`, `errors`, ..."""
    parts = [full.split(".") for full in imported(MODULES[name]) if full.split(".")[0] == "cellflax"]
    return {part[1] if len(part) > 1 and is_module(part[1]) else "" for part in parts}


def is_module(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def top(name: str) -> str:
    return name.split("/")[0]


def test_the_packages_are_found():
    assert {"train", "predict", "evaluate", "simulate", "training/checkpoint", "io/images"} <= MODULES.keys()
    assert "data" in own("train")
    assert "hydra" in {name.split(".")[0] for name in imported(MODULES["config"])}


def test_every_room_has_a_rank():
    rooms = {top(name) for name in MODULES} - {"__init__"}
    assert rooms == RANK.keys()


def test_every_room_is_in_architecture():
    drawn = (PACKAGE.parent / "ARCHITECTURE.md").read_text()
    for room in RANK:
        assert re.search(rf"`{room}(\.py|/)?`", drawn), room


@pytest.mark.parametrize("name", [name for name in MODULES if name != "__init__"])
def test_imports_point_down(name):
    against = against_the_ranks(top(name), own(name) - {""})
    assert not against, f"{name} (rank {RANK[top(name)]}) imports {against}"


def test_an_import_against_the_ranks_is_found():
    assert against_the_ranks("labels", {"errors", "refine"}) == {"refine"}
    assert against_the_ranks("refine", {"labels", "refine", "data"}) == {"data"}  # its own rank counts as above
    assert against_the_ranks("io", {"train"}) == {"train"}


def against_the_ranks(room: str, imports: set[str]) -> set[str]:
    """Rooms that a room imports and must not."""
    return {other for other in imports - {room} if RANK[other] >= RANK[room]}


def test_a_public_name_stands_for_one_thing():
    """Each command has its `main`; every other name of a function or class is defined once in the package."""
    homes: dict[str, list[str]] = {}
    for name, tree in MODULES.items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(name)
    assert {name: where for name, where in homes.items() if len(where) > 1 and name != "main"} == {}


@pytest.mark.parametrize("library", USERS_OF)
def test_edges_stay_where_they_are(library):
    users = {name for name, tree in MODULES.items() if library in {full.split(".")[0] for full in imported(tree)}}
    assert users == USERS_OF[library]


@pytest.mark.parametrize("name", [name for name in MODULES if top(name) != "pictures"])
def test_every_figure_is_a_picture(name):
    assert "matplotlib" not in {full.split(".")[0] for full in imported(MODULES[name])}


@pytest.mark.parametrize("name", MODULES)
def test_no_code_from_files(name):
    assert not {full.split(".")[0] for full in imported(MODULES[name])} & UNSAFE_MODULES
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                assert node.func.id not in UNSAFE_CALLS, f"line {node.lineno}"
            allowed = [k.value for k in node.keywords if k.arg == "allow_pickle"]
            assert all(isinstance(v, ast.Constant) and v.value is False for v in allowed), f"line {node.lineno}"


def test_no_target_in_the_configuration():
    """`_target_` would let a configuration file name what to call."""
    for path in (PACKAGE.parent / "conf").rglob("*.yaml"):
        assert "_target_" not in path.read_text(), path


def test_no_import_cycle():
    """Between modules, by what they import at their top."""
    graph = {}
    for name, tree in MODULES.items():
        full = {
            n
            for node in tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for n in imported(ast.Module([node], []))
        }
        paths = {n.removeprefix("cellflax.").replace(".", "/") for n in full if n.startswith("cellflax.")}
        graph[name] = {
            m for p in paths for m in (p, p.rpartition("/")[0], p + "/__init__") if m in MODULES and m != name
        }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name not in done:
            for other in graph[name]:
                visit(other, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())
