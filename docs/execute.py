"""Run tutorials as notebooks and print what their cells print: python docs/execute.py [NAME ...]

Without names, it runs all of docs/tutorials/. Each runs in an empty folder of its own, as a reader would. The exit
status is 1 if a cell fails. Needs `pip install 'cellflax[docs]'`.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

TUTORIALS = Path(__file__).parent / "tutorials"
TIMEOUT_S = 600


def names() -> list[str]:
    """All tutorials."""
    return sorted(path.stem for path in TUTORIALS.glob("*.md") if path.stem != "index")


def execute(name: str) -> str:
    """What the cells of a tutorial print.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell fails.
    """
    from myst_nb.core.read import read_myst_markdown_notebook
    from myst_parser.config.main import MdParserConfig
    from nbclient import NotebookClient

    text = (TUTORIALS / f"{name}.md").read_text(encoding="utf-8")
    notebook = read_myst_markdown_notebook(text, MdParserConfig())
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=TIMEOUT_S, resources={"metadata": {"path": folder}})
        client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(o["text"] if "text" in o else o["data"].get("text/plain", "") + "\n" for o in outputs)


def main() -> None:
    """Run the named ones."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # cells call `cellflax`
    os.environ["WANDB_MODE"] = "disabled"
    for name in sys.argv[1:] or names():
        start = time.monotonic()
        print(f"== {name}", flush=True)
        print(execute(name))
        print(f"== {name}: {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
