"""Configuration dataclasses rebuilt from their source files, without importing the modules that hold them.

`cellflax predict --help` needs the names, types, defaults and docstrings of the dataclasses, but not the JAX that their
modules import: reading the source takes a tenth of the time. Nothing of the source is run.
"""

import ast
import builtins
import dataclasses
import functools
import importlib.util
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

# The default of a field whose expression cannot be read here; the YAML files hold these defaults too.
UNREAD: Any = type("Unread", (), {"__repr__": lambda _: "UNREAD"})()

_NAMED_TYPES = {"Any": Any, "ClassVar": ClassVar} | {t.__name__: t for t in (bool, int, float, str, list, dict)}


class UnreadableError(Exception):
    """A definition is written in a way that cannot be understood without running it."""


def read_schema(path: str) -> type:
    """Rebuild a dataclass with its bases and the classes of its fields.

    Args:
        path: "module:class", as in `cellflax.schemas.GROUPS`.

    Returns:
        A dataclass with the same name, docstring, field names, types and defaults, without its methods. A default
        that is not a literal, a constant, an enum's member or a dataclass is `UNREAD`.

    Raises:
        UnreadableError: if there is no such class, or its bases or types are of a kind that is not known here.
    """
    module, _, name = path.partition(":")
    return _class(module, name)


def read_docstring(module: str) -> str:
    """The docstring of a module."""
    return ast.get_docstring(_tree(module)) or ""


@functools.cache
def _tree(module: str) -> ast.Module:
    package, *parts = module.split(".")
    spec = importlib.util.find_spec(package)  # of the top package alone: the parents of a module would be imported
    for root in (spec and spec.submodule_search_locations) or ():
        folder = Path(root, *parts)
        for file in (folder / "__init__.py", folder.with_name(folder.name + ".py")):
            if file.is_file():
                return ast.parse(file.read_text(encoding="utf-8"))
    raise UnreadableError(f"no source of {module}")


@functools.cache
def _definition(module: str, name: str) -> tuple[str, ast.stmt]:
    """Where a name of a module is defined: the module and the statement."""
    package = module.split(".")[0]
    for node in _tree(module).body:
        match node:
            case ast.ClassDef(name=found) | ast.FunctionDef(name=found) if found == name:
                return module, node
            case ast.Assign(targets=[ast.Name(id=found)]) | ast.AnnAssign(target=ast.Name(id=found)) if found == name:
                return module, node
            case ast.ImportFrom(module=str(source), names=aliases) if source.split(".")[0] == package:
                for alias in aliases:
                    if (alias.asname or alias.name) == name:
                        return _definition(source, alias.name)
            case _:
                pass
    raise UnreadableError(f"{module} does not define {name}")


def _class(module: str, name: str) -> type:
    """The class that a name of a module stands for; the same one from wherever it is imported."""
    return _rebuilt(*_definition(module, name))


@functools.cache
def _rebuilt(module: str, node: ast.stmt) -> type:
    if not isinstance(node, ast.ClassDef):
        raise UnreadableError(f"{module}: {ast.unparse(node)[:40]} is not a class")
    if any(isinstance(base, ast.Name) and base.id == "Enum" for base in node.bases):
        return _enum(node)
    if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        raise UnreadableError(f"{module}:{node.name} is neither a dataclass nor an Enum")
    fields = []
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            hint = _type(module, statement.annotation)
            if hint is not ClassVar:
                fields.append((statement.target.id, hint, *_default(module, statement.value)))
    bases = tuple(_class(module, ast.unparse(base)) for base in node.bases)
    namespace = {"__doc__": ast.get_docstring(node)}
    return dataclasses.make_dataclass(node.name, fields, bases=bases, namespace=namespace, module=module)


def _enum(node: ast.ClassDef) -> type:
    """An Enum with the same members. Their values are numbers: a configuration uses only the names."""
    targets = [target for statement in node.body if isinstance(statement, ast.Assign) for target in statement.targets]
    members: Any = Enum(node.name, [target.id for target in targets if isinstance(target, ast.Name)])
    return members


def _type(module: str, node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=None):
            return None
        case ast.Name(id=name):
            return _NAMED_TYPES[name] if name in _NAMED_TYPES else _class(module, name)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _type(module, left) | _type(module, right)
        case ast.Subscript(value=ast.Name(id="ClassVar")):
            return ClassVar
        case ast.Subscript(value=ast.Name(id="list"), slice=element):
            return list[_type(module, element)]
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[key, value])):
            return dict[_type(module, key), _type(module, value)]
    raise UnreadableError(f"{module}: type {ast.unparse(node)}")


def _default(module: str, node: ast.expr | None) -> tuple[Any, ...]:
    """The default of a field as the third part of what `make_dataclass` takes, or nothing."""
    if node is None:
        return ()
    if not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("field", "dataclasses.field")):
        return (_value(module, node),)
    (factory,) = (keyword.value for keyword in node.keywords if keyword.arg == "default_factory")
    if isinstance(factory, ast.Lambda):
        value = _value(module, factory.body)
        return (dataclasses.field(default_factory=lambda: value),)
    if ast.unparse(factory) in ("list", "dict"):
        return (dataclasses.field(default_factory=getattr(builtins, ast.unparse(factory))),)
    try:
        return (dataclasses.field(default_factory=_class(module, ast.unparse(factory))),)
    except UnreadableError:
        return (dataclasses.field(default_factory=lambda: UNREAD),)


def _value(module: str, node: ast.expr) -> Any:
    try:
        match node:
            case ast.Name(id=name):
                source, definition = _definition(module, name)
                if isinstance(definition, ast.Assign | ast.AnnAssign) and definition.value is not None:
                    return _value(source, definition.value)
            case ast.Attribute(value=ast.Name(id=name), attr=member):
                return getattr(_class(module, name), member)
            case _:
                return ast.literal_eval(node)
    except (ValueError, UnreadableError):
        pass
    return UNREAD
