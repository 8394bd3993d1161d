"""What packages cellflax agrees with pyproject.toml: image, conda recipe, licences, release notes, signed checksums."""

import importlib.util
import re
import shlex
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
# Packages of other names in conda: the one without a window toolkit.
CONDA = {"matplotlib": "matplotlib-base"}


def script(name: str) -> ModuleType:
    """A script of packaging/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"packaging_{name}", REPOSITORY / f"packaging/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_recipe_has_the_dependencies_of_the_project():
    recipe = yaml.safe_load((REPOSITORY / "packaging/recipe.yaml").read_text())

    def parsed(texts: list[str]) -> dict[str, set[str]]:
        found = [Requirement(text) for text in texts]
        return {CONDA.get(one.name, one.name): set(map(str, one.specifier)) for one in found}

    python = f"python {PROJECT['requires-python']}"
    assert parsed(recipe["requirements"]["run"]) == parsed([python, *PROJECT["dependencies"]])
    assert recipe["package"] == {"name": PROJECT["name"], "version": PROJECT["version"]}
    entries = [f"{name} = {target}" for name, target in PROJECT["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == entries
    assert (REPOSITORY / "packaging" / recipe["source"]["path"]).resolve() == REPOSITORY.resolve()


def instructions() -> list[list[str]]:
    """The Dockerfile's instructions as words."""
    text = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line and not line.startswith("#")]


def test_the_image_is_built_from_files_that_it_gets():
    kept = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [word for name, *words in instructions() if name == "COPY" for word in words[:-1]]
    assert set(copied) == set(kept)
    for name in copied:
        assert (REPOSITORY / name).exists(), name
    needed = ["README.md", "LICENSE", *tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]
              ["build"]["targets"]["wheel"]["packages"], "conf"]  # fmt: skip
    assert set(needed) <= set(copied)


def test_the_image_has_a_target_for_each_kind_of_machine():
    stages = {words[2]: words[0] for name, *words in instructions() if name == "FROM"}
    assert list(stages)[-2:] == ["cuda", "cpu"]  # the last is built where no target is given
    assert all(fnmatch(image, "python:*-slim") or image in stages for image in stages.values())
    extras = re.findall(r"\.whl\)\[([\w,]+)\]", (REPOSITORY / "Dockerfile").read_text())
    assert [set(text.split(",")) <= set(PROJECT["optional-dependencies"]) for text in extras] == [True, True]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("MIT", "permissive"),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", "permissive"),
        ("Mozilla Public License 2.0 (MPL 2.0)", "weak copyleft"),
        ("MPL-2.0 AND MIT", "weak copyleft"),
        ("LGPL-3.0-or-later", "weak copyleft"),
        ("GNU Lesser General Public License v3 (LGPLv3)", "weak copyleft"),
        ("GPL-2.0-only", "copyleft"),
        ("GNU Affero General Public License v3", "copyleft"),
        ("MIT OR GPL-3.0-only", "permissive"),
        ("BSD License, GNU General Public License (GPL)", "copyleft"),
        ("NVIDIA Proprietary Software", "proprietary"),
        ("Dual License", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_kind_of_a_licence(words, kind):
    assert script("licences").kind_of(words) == kind


def test_no_dependency_is_copyleft_or_unknown(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["licences.py"])
    assert script("licences").main() == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line}
    assert {Requirement(text).name for text in PROJECT["dependencies"]} <= listed
    assert {"jaxlib", "pyyaml"} <= listed  # what dependencies need


def test_packages_that_are_not_installed_are_named():
    names, missing = script("licences").closure("no-such-package")
    assert (names, missing) == ([], ["no-such-package"])


@pytest.fixture
def release(tmp_path) -> Path:
    """The files that hold the version."""
    (tmp_path / "packaging").mkdir()
    for name in ("pyproject.toml", "CITATION.cff", "packaging/recipe.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    version = PROJECT["version"]
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## Unreleased\n\n- b\n\n## {version} - 2026-12-01\n\n- a\n")
    return tmp_path


def test_release_notes(release):
    made = script("notes").notes(PROJECT["version"], release)
    assert made.startswith(f"# cellflax {PROJECT['version']}\n\n- a\n\n## Check the files\n")


@pytest.mark.parametrize(
    ("file", "old", "message"),
    [
        ("CITATION.cff", r"^version: .*", "CITATION.cff: has version 9, not"),
        ("packaging/recipe.yaml", r"^  version: .*", "packaging/recipe.yaml: has version 9, not"),
        ("CHANGELOG.md", r"^## \d.*", "CHANGELOG.md: has no section"),
    ],
)
def test_a_release_of_two_versions_is_refused(release, file, old, message):
    text = (release / file).read_text()
    indent = "  " if file.endswith("yaml") else ""
    changed = re.sub(old, "## x" if file == "CHANGELOG.md" else f"{indent}version: 9", text, flags=re.MULTILINE)
    (release / file).write_text(changed)
    with pytest.raises(ValueError, match=message):
        script("notes").notes(PROJECT["version"], release)


@pytest.mark.skipif(
    not shutil.which("ssh-keygen") or not shutil.which("sha256sum"), reason="needs OpenSSH and GNU tools"
)
def test_checksums_are_signed_and_checked(release, tmp_path):
    """By the command that the release notes print."""
    dist, key = tmp_path / "dist", tmp_path / "key"
    dist.mkdir()
    (dist / "cellflax-1.tar.gz").write_bytes(b"sdist")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    subprocess.run([REPOSITORY / "packaging/sign.sh", dist, key], check=True)
    public = key.with_suffix(".pub").read_text()
    (dist / "allowed_signers").write_text(f"release@cellflax {public}")
    notes = script("notes").notes(PROJECT["version"], release)
    (commands,) = re.findall(r"```bash\n(.*?)```", notes, re.DOTALL)

    def checked() -> int:
        return subprocess.run(["bash", "-ec", commands], cwd=dist, capture_output=True, check=False).returncode

    assert checked() == 0
    (dist / "cellflax-1.tar.gz").write_bytes(b"other")
    assert checked() != 0
    (dist / "cellflax-1.tar.gz").write_bytes(b"sdist")
    (dist / "SHA256SUMS").write_text((dist / "SHA256SUMS").read_text() + "\n")
    assert checked() != 0
