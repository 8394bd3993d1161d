"""cellflax: segment and quantify single cells in microscopy images with JAX.

The code cites three papers by number: P1 is Van Valen et al. 2016 (DeepCell), P2 is Sadanandan et al. 2017, and P3 is
Al-Kofahi et al. 2018. README.md has the references.
"""

import sys
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellflax.api.model import Model, Segmented, load
    from cellflax.api.scores import Scores, score
    from cellflax.api.tracks import Tracks, track_labels
    from cellflax.inference.settings import Tiling
    from cellflax.prediction.networks import PredictionSettings
    from cellflax.tracking.tracker import TrackerConfig

if sys.argv[:1] == ["-m"]:  # so it stands while Python looks for the module of `python -m cellflax.COMMAND`
    from cellflax.huge_pages import start_again_with_huge_pages
    from cellflax.interruption import end_at_once_around_commands

    start_again_with_huge_pages()
    end_at_once_around_commands()

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

_HOMES = {
    **dict.fromkeys(("Model", "Segmented", "load"), "api.model"),
    **dict.fromkeys(("Scores", "score"), "api.scores"),
    **dict.fromkeys(("Tracks", "track_labels"), "api.tracks"),
    "PredictionSettings": "prediction.networks",
    "Tiling": "inference.settings",
    "TrackerConfig": "tracking.tracker",
}


def __getattr__(name: str) -> Any:
    """Import the door for Python at its first use: `import cellflax` alone does not wait for JAX."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"cellflax.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
