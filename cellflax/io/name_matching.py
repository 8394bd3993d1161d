"""Which file belongs to which name: stems that agree, one to one, the longest first."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cellflax.io.names import (
    by_constant_words,
    comparable,
    possible_stems,
    shared_ending,
    split_rest,
    stem_of,
    without_ending,
    without_prefix,
)


@dataclass(frozen=True)
class Matching:
    """Which file belongs to which name.

    Attributes:
        files: the file of each name that has one.
        rivals: for a name without a file, those between which its name does not decide.
    """

    files: dict[str, Path]
    rivals: dict[str, list[Path]]


def match_names(names: Mapping[str, Sequence[str]], files: Sequence[Path]) -> Matching:
    """Match files to names, one to one.

    Stems that are equal, with or without suffixes such as `_labels`, belong together; the longest common stem wins.
    If that leaves a name without a file, the same further word in every file is accepted (`a_gfp`, `b_gfp` for `a`,
    `b`), and the same word in every name (`a_phase`, `b_phase`), also inside it (`img_1_DAPI_0`, `img_1_YFP_0`). Such a
    word may hold no number of a frame or position.

    Args:
        names: stems that each name may stand for, longest first; see `names.possible_stems`.
        files: candidates.
    """
    of_name = {name: [comparable(stem) for stem in stems] for name, stems in names.items()}
    of_file = {
        file: [comparable(stem) for stem in stems]
        for file, stems in zip(files, possible_stems([stem_of(file) for file in files]), strict=True)
    }
    matching = _equal(of_name, of_file)
    if len(matching.files) == len(names) or matching.rivals:
        return matching
    shared = shared_ending([stems[-1] for stems in of_name.values()])
    for count in range(shared + 1):
        cores = {name: [without_ending(stem, count) for stem in stems] for name, stems in of_name.items()}
        if len({stems[-1] for stems in cores.values()}) < len(cores):
            break
        found = (_equal(cores, of_file) if count else None, _continued(cores, of_file))
        for result in found:
            if result is not None and (len(result.files) == len(names) or result.rivals):
                return result
    return _other_word(of_name, of_file) or matching


def _other_word(of_name: Mapping[str, Sequence[str]], of_file: Mapping[Path, Sequence[str]]) -> Matching | None:
    """Names and files that differ by words in the same places (`img_1_DAPI_0`, `img_1_YFP_0`); None without a match."""
    names = by_constant_words([stems[0] for stems in of_name.values()])
    files = by_constant_words([stems[0] for stems in of_file.values()])
    if not names or not files or names[0][1] != files[0][1]:
        return None
    owner = {words: file for (words, _), file in zip(files, of_file, strict=True)}
    found = {name: owner[words] for (words, _), name in zip(names, of_name, strict=True) if words in owner}
    if len(found) < len(of_name) or len(set(found.values())) < len(found):
        return None
    return Matching(found, {})


def _equal(of_name: Mapping[str, Sequence[str]], of_file: Mapping[Path, Sequence[str]]) -> Matching:
    """Names and files with a common stem, the longest first; prefixes such as `mask_` count last."""
    owners: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for file, stems in of_file.items():
        for level, stem in enumerate(stems):
            owners[stem].append((level, file))
            if without_prefix(stem) != stem:
                owners[without_prefix(stem)].append((level + 10, file))
    possible: dict[tuple[int, int], dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for name, stems in of_name.items():
        for step, stem in enumerate(stems):
            for start, more in ((stem, 0), (without_prefix(stem), 10)):
                if more and start == stem:
                    continue
                for level, file in owners.get(start, ()):
                    possible[len(start), -(level + step + more)][name].append(file)
    files: dict[str, Path] = {}
    rivals: dict[str, list[Path]] = {}
    taken: set[Path] = set()
    for rank in sorted(possible, reverse=True):
        free = {
            name: sorted(set(given) - taken)
            for name, given in possible[rank].items()
            if name not in files and name not in rivals
        }
        wanted = Counter(file for given in free.values() for file in given)
        for name, given in free.items():
            if len(given) == 1 and wanted[given[0]] == 1:
                files[name] = given[0]
                taken.add(given[0])
            elif given:
                rivals[name] = given
    return Matching(files, rivals)


def _continued(of_name: Mapping[str, Sequence[str]], of_file: Mapping[Path, Sequence[str]]) -> Matching | None:
    """Files that continue every name by the same words; None where there is none."""
    by_rest: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for file, stems in of_file.items():
        for start, rest in {cut for stem in stems for cut in split_rest(stem)}:
            by_rest[rest][start].append(file)
    complete: dict[str, dict[str, Path]] = {}
    for rest, starts in by_rest.items():
        found = {}
        for name, stems in of_name.items():
            given = next((starts[stem] for stem in stems if stem in starts), [])
            if len(given) == 1:
                found[name] = given[0]
        if len(found) == len(of_name) == len(set(found.values())):
            complete[rest] = found
    if len({tuple(found.items()) for found in complete.values()}) == 1:
        return Matching(next(iter(complete.values())), {})
    if not complete:
        return None
    return Matching({}, {name: sorted({found[name] for found in complete.values()}) for name in of_name})


def common_of(file: Path) -> str:
    """The shortest stem of a file alone, without all suffixes."""
    return possible_stems([stem_of(file)])[0][-1]


def stems_of_names(pairs: Mapping[str, Path]) -> dict[str, list[str]]:
    """Stems that each name may stand for: those of its file, where that is one, as far as its name is not shorter."""
    stems = {}
    shared = Counter(pairs.values())  # scenes of one file go by their own names
    kept = possible_stems(
        [stem_of(path) if path.exists() and shared[path] == 1 else name for name, path in pairs.items()]
    )
    for (name, _), chain in zip(pairs.items(), kept, strict=True):
        stems[name] = chain if name in chain else [*chain, name]
    return stems
