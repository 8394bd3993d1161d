"""The door for shells: `cellflax COMMAND ...`, the same as `python -m cellflax COMMAND ...`."""

import importlib
import sys
from difflib import get_close_matches

from cellflax.commands import COMMANDS, module_of, overview
from cellflax.huge_pages import start_again_with_huge_pages
from cellflax.interruption import ending_in_one_line
from cellflax.progress import closing_pipe_ends


def main() -> None:
    """List the commands, or run one of them; only what it needs is imported."""
    with closing_pipe_ends(), ending_in_one_line():
        name, *arguments = sys.argv[1:] or ["--help"]
        if name in ("--help", "-h"):
            print(overview())
        elif name == "--version":
            from cellflax import __version__

            print(f"cellflax {__version__}")
        elif name not in COMMANDS:
            print(f"error: {_unknown(name)}", file=sys.stderr)
            sys.exit(1)
        elif not _print_help(name, arguments):
            start_again_with_huge_pages()
            sys.argv = [f"cellflax {name}", *arguments]
            importlib.import_module(module_of(name)).main()


def _unknown(name: str) -> str:
    close = get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"unknown command {name}: {hint}available: {', '.join(COMMANDS)}"


def _print_help(name: str, arguments: list[str]) -> bool:
    """Print the help of a command if it is asked for, from the sources: the command itself would import JAX."""
    from cellflax.command_help import asks_for_help, command_help
    from cellflax.config import config_directory
    from cellflax.schema_source import UnreadableError, read_schema

    if not asks_for_help(arguments):
        return False
    try:
        text = command_help(name, read_schema(COMMANDS[name]), config_directory())
    except UnreadableError:  # then the command imports its schemas and prints the same
        return False
    print(text, end="")
    return True


if __name__ == "__main__":
    main()
