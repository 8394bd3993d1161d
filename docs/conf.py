"""How Sphinx builds the documentation: `sphinx-build -W -n docs OUTPUT`.

The tutorials are notebooks. They are shown without being run, unless CELLFLAX_DOCS=execute is set: then each is run
once, which takes minutes, and its results are shown and kept until it changes. docs/execute.py runs them alone.
"""

import os
import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # cells call `cellflax`

project = "cellflax"
author = "The cellflax developers"
copyright = author
release = version = metadata.version("cellflax")

extensions = ["repository_pages", "myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "_ext", "generated/extras.md"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "cache" if os.environ.get("CELLFLAX_DOCS") == "execute" else "off"
nb_execution_cache_path = str(Path(__file__).parent / "_build" / "jupyter_cache")
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say types, shapes and units
napoleon_numpy_docstring = False
nitpick_ignore_regex = [("py:.*", ".*")]  # types of other packages; links between pages are checked

html_theme = "furo"
html_title = f"cellflax {release}"
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
templates_path: list[str] = []
