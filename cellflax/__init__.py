"""cellflax: segment and quantify single cells in microscopy images with JAX.

The code cites three papers by number: P1 is Van Valen et al. 2016 (DeepCell), P2 is Sadanandan et al. 2017, and P3 is
Al-Kofahi et al. 2018. README.md has the references.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellflax.api import (
        Model,
        PredictionSettings,
        Scores,
        Segmented,
        Tiling,
        TrackerConfig,
        Tracks,
        load,
        score,
        track_labels,
    )

__version__ = version("cellflax")

__all__ = [
    "Model",
    "PredictionSettings",
    "Scores",
    "Segmented",
    "Tiling",
    "TrackerConfig",
    "Tracks",
    "__version__",
    "load",
    "score",
    "track_labels",
]


def __getattr__(name: str) -> Any:
    """Import the door for Python at its first use: `import cellflax` alone does not wait for JAX."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("cellflax.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
