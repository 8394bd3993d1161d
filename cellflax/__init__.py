"""cellflax: segment and quantify single cells in microscopy images with JAX."""

from importlib.metadata import version

__version__ = version("cellflax")
