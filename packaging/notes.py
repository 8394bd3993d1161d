"""The release notes of a version: its section of CHANGELOG.md, with the command that checks the files.

python packaging/notes.py VERSION > notes.md

Fails in one line if pyproject.toml, CITATION.cff, packaging/recipe.yaml or CHANGELOG.md have another version.
"""

import re
import sys
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
# Where a version stands in a file, beside pyproject.toml.
_PLACES = {
    "CITATION.cff": r"^version: *\"?([^\s\"]+)",
    "packaging/recipe.yaml": r"^  version: *\"?([^\s\"]+)",
}
_CHECK = """## Check the files

```bash
ssh-keygen -Y verify -f allowed_signers -I release@cellflax -n file -s SHA256SUMS.sig < SHA256SUMS
sha256sum --check SHA256SUMS
```
"""


def notes(version: str, repository: Path = REPOSITORY) -> str:
    """Release notes in Markdown.

    Raises:
        ValueError: in one line, if a file has another version, or the changelog has no section or an empty one.
    """
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = {"pyproject.toml": project["version"]}
    for file, pattern in _PLACES.items():
        match = re.search(pattern, (repository / file).read_text(encoding="utf-8"), re.MULTILINE)
        found[file] = "none" if match is None else match[1]
    for file, has in found.items():
        if has != version:
            raise ValueError(f"{file}: has version {has}, not {version}; set it")
    parts = re.split(r"^## +", (repository / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for part in parts[1:]:
        heading, _, text = part.partition("\n")
        if re.match(rf"\[?{re.escape(version)}\]?(\s|$)", heading) and text.strip():
            return f"# cellflax {version}\n\n{text.strip()}\n\n{_CHECK}"
    raise ValueError(f"CHANGELOG.md: has no section {version}; rename Unreleased, with the date")


def main() -> None:
    """Print the notes."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        print(notes(sys.argv[1]), end="")
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
