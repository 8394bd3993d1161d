"""A thousand damaged files: each is read, or refused in one line, within 10 s and 2 GB.

`python -m tests.fuzz 20000` reads more of them.
"""

import pytest

from tests.fuzz.__main__ import table
from tests.fuzz.formats import FORMATS
from tests.fuzz.mutate import PLACES
from tests.fuzz.pool import cases, outcomes
from tests.fuzz.worker import GOOD

_FILES, _PARTS = 1000, 8


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(_PARTS))
def test_damaged_files_are_read_or_refused_in_one_line(part, tmp_path):
    wanted = cases(_FILES, seed=18, part=part, parts=_PARTS)
    assert len(wanted) == _FILES // _PARTS
    found = list(outcomes(wanted, keep=str(tmp_path)))
    faults = [(case, outcome) for case, outcome in found if outcome.kind not in GOOD]
    assert not faults, f"{table(found)}\n" + "\n".join(
        f"python -m tests.fuzz --case '{name}' {seed}: {outcome.kind}: {outcome.damage}\n{outcome.detail}"
        for (name, seed), outcome in faults
    )
    assert {outcome.kind for _, outcome in found} == set(GOOD)


def test_parts_share_all_formats():
    shared = [name for part in range(_PARTS) for name, _ in cases(_FILES, 18, part, _PARTS)]
    assert len(shared) == _FILES
    assert set(shared) == {one.name for one in FORMATS}


def test_one_case_is_the_same_each_time(tmp_path):
    import random
    import shutil

    one = next(one for one in FORMATS if one.name == "table of truth")
    (tmp_path / "sample").mkdir()
    one.make(tmp_path / "sample")
    contents = []
    for seed in ("1", "1", "2"):
        shutil.rmtree(tmp_path / "case", ignore_errors=True)
        shutil.copytree(tmp_path / "sample", tmp_path / "case")
        path, said = one.damage(random.Random(seed), tmp_path / "case")
        contents.append((said, path.read_bytes() if path.is_file() else None))
    assert contents[0] == contents[1] != contents[2]
    assert len(PLACES) == 7


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (ValueError("x"), "traceback"),
        (MemoryError(), "memory"),
        ("image.tif: a\n  b", "one line"),
        ("nothing is named; mend it", "no name"),
    ],
)
def test_faults_are_found(raised, kind, tmp_path):
    from dataclasses import replace

    from cellflax.errors import UserError
    from tests.fuzz.worker import _read

    def fails(folder):
        raise raised if isinstance(raised, Exception) else UserError(raised)

    file = tmp_path / "image.tif"
    file.touch()
    assert _read(replace(FORMATS[0], read=(fails,)), tmp_path, file, "").kind == kind
