"""YAML as OmegaConf reads it, by the parser of the C library where PyYAML has it: the same values, sooner."""

import functools
from typing import Any

import yaml
from omegaconf._utils import get_yaml_loader

PARSER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_quickly(text: str) -> Any:
    """The content of a text in plain dicts, lists and values.

    Raises:
        yaml.YAMLError: if the text is no YAML, or gives a key twice; OmegaConf's own error shows the line.
    """
    return yaml.load(text, _loader())


@functools.cache
def _loader() -> type[Any]:
    plain = get_yaml_loader()

    class Loader(PARSER):  # pyright: ignore[reportGeneralTypeIssues] (which of both is known when this runs)
        yaml_implicit_resolvers = plain.yaml_implicit_resolvers
        yaml_constructors = plain.yaml_constructors

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [key.value for key, _ in node.value if key.tag == yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG]
            if len(set(keys)) < len(keys):
                raise yaml.YAMLError("a key is there twice")
            return super().construct_mapping(node, deep=deep)

    return Loader
