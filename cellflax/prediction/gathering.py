"""What the shards of a prediction wrote: read, and refused unless all are there, finished, and parts of one whole."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.journal import Done, State, recorded_run
from cellflax.io.result_set import lock_file
from cellflax.io.resuming import RESUME
from cellflax.io.unfinished import left_behind
from cellflax.jsonfile import differences, read_json
from cellflax.locks import Lock, LockedError
from cellflax.prediction.shards import SHARD, Shard, shards_folder

_NAME = re.compile(r"(\d+)-of-(\d+)", re.ASCII)
_NAMED = 3  # images or shards that an error names


@dataclass(frozen=True)
class ShardResults:
    """What one shard wrote.

    Attributes:
        shard: which it is.
        folder: where it is.
        run: what its results depend on besides the images.
        settings: options of its command.
        places: of each of its images, by name, the place among all images.
        total: number of all images.
        done: its finished images.
        failed: images and frames that it could not use, with the reason; blank frames are not among them.
        table: state of its table of cells.
        device: hardware and precision.
    """

    shard: Shard
    folder: Path
    run: dict[str, Any]
    settings: dict[str, Any]
    places: dict[str, int]
    total: int
    done: dict[str, Done]
    failed: dict[str, str]
    table: State
    device: str

    def unusable(self, image: str) -> dict[str, str]:
        """What was wrong with an image: under its name, or under those of frames; nothing if it is finished."""
        done = self.done.get(image)
        return {image: self.failed[image]} if done is None else done.failed

    def missing(self) -> list[str]:
        """Its images that it has neither finished nor found unusable."""
        return [name for name in self.places if name not in self.done and name not in self.failed]


@contextmanager
def all_shards(output: str | Path) -> Iterator[list[ShardResults]]:
    """The shards in a directory, in order; until the block ends, none of those that were killed is taken up again.

    Raises:
        UserError: if there are none, one is missing, unfinished or in use, they are parts of different divisions, runs
            or lists of images, or two hold one image.
    """
    folders = _folders(Path(output))
    with ExitStack() as stack:
        for shard, folder in folders.items():
            try:
                stack.enter_context(Lock.take(lock_file(folder, "predict"), "gather"))
            except LockedError as error:
                raise UserError(f"{folder}: {shard} is still running; gather when it has ended") from error
            except OSError:  # not to be written to, so that no run can either
                continue
            for leftover in left_behind(folder):
                stack.callback(leftover.release)
        found = [_read(shard, folder) for shard, folder in folders.items()]
        _refuse_different(found)
        _refuse_incomplete(found)
        yield found


def sources_of(found: Sequence[ShardResults]) -> dict[str, ShardResults]:
    """The shard of each image by name, in the order of all images.

    Raises:
        UserError: if two shards hold one image, or one is in none.
    """
    where: dict[str, ShardResults] = {}
    for one in found:
        for name in one.places:
            other = where.setdefault(name, one)
            if other is not one:
                raise UserError(
                    f"{name} is in {other.folder} and in {one.folder}; remove the one that is a copy, and run "
                    f"{one.shard} again"
                )
    ordered = sorted(where, key=lambda name: where[name].places[name])
    total = max(one.total for one in found)
    if [where[name].places[name] for name in ordered] != list(range(total)):
        raise _of_other_images(found[0], f"{len(where)} of {total} images are in them")
    return {name: where[name] for name in ordered}


def refuse_other_input(
    shards: Mapping[str, ShardResults], inputs: Mapping[str, Mapping[str, State]], given: str
) -> None:
    """Refuse shards of other images than those that are there now, or of files that were changed since.

    Args:
        shards: of each image by name, its shard, in order.
        inputs: of each image that is there, in order, the states of its files (`io.journal.input_states`).
        given: where they are, for the error.

    Raises:
        UserError: naming the first images.
    """
    one = next(iter(shards.values()))
    more = [name for name in inputs if name not in shards]
    if more:
        raise UserError(
            f"{given} has {_names(more)}, which the shards in {one.folder.parent} were not given; run all shards again "
            "with resume=true"
        )
    gone = [name for name in shards if name not in inputs]
    if gone:
        raise UserError(f"{given} lacks {_names(gone)}, which the shards in {one.folder.parent} have; restore it")
    if list(inputs) != list(shards):
        raise _of_other_images(one, "their order is another")
    for name, shard in shards.items():
        done = shard.done.get(name)
        if done is not None and done.inputs != inputs[name]:
            raise UserError(f"{name}: its file was changed since; run {shard.shard} again with resume=true")


def _folders(output: Path) -> dict[Shard, Path]:
    """The folders of all shards, in order."""
    place = shards_folder(output)
    names = {path: match for path in place.glob("*-of-*") if (match := _NAME.fullmatch(path.name))}
    counts = sorted({int(match[2]) for match in names.values()})
    if not counts:
        raise UserError(
            f"{place}: no shards there; make them with cellflax predict ... output={output} shards=N shard=K"
        )
    if len(counts) > 1:
        parts = " and ".join(f"of {count}" for count in counts)
        raise UserError(f"{place}: shards {parts} are there; remove the folders of those that are not wanted")
    (count,) = counts
    folders = {Shard(int(match[1]), count): path for path, match in names.items()}
    missing = [str(index) for index in range(count) if Shard(index, count) not in folders]
    if missing:
        are = "shards {} of {} are" if len(missing) > 1 else "shard {} of {} is"
        raise UserError(
            f"{place}: {are.format(_names(missing), count)} missing; run cellflax predict with shards={count} and "
            f"shard={missing[0]}"
        )
    if len(names) != count:
        raise UserError(f"{place}: {len(names)} folders for {count} shards; remove those that cellflax did not make")
    return dict(sorted(folders.items(), key=lambda item: item[0].index))


def _read(shard: Shard, folder: Path) -> ShardResults:
    file = folder / results.PROVENANCE
    if not file.is_file():
        raise UserError(f"{folder}: {shard} has not ended; run it again with resume=true")
    content = read_json(file, f"run {shard} again")
    try:
        run, tables, done = recorded_run(content[RESUME])
        said, failed = content[SHARD], content["failed"]
        places = {str(name): int(place) for name, place in said["places"].items()}
        blank = {title for entry in done.values() for title in entry.blank}
        found = ShardResults(
            shard=Shard(int(said["index"]), int(said["count"])),
            folder=folder,
            run=run,
            settings=dict(content["settings"]),
            places=places,
            total=int(said["total"]),
            done={name: done[name] for name in places if name in done},
            failed={str(title): str(reason) for title, reason in failed.items() if title not in blank},
            table=tables.get(results.CELLS, []),
            device=str(said["device"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{file}: is not the record of a shard; run {shard} again with overwrite=true") from error
    if found.shard != shard:
        raise UserError(f"{folder}: holds {found.shard}; give it its own name, and run {shard}")
    return found


def _refuse_different(found: Sequence[ShardResults]) -> None:
    """Refuse shards of different runs, or of different lists of images."""
    first = found[0]
    for one in found[1:]:
        for name, (before, now) in differences(first.run, one.run).items():
            raise UserError(
                f"{first.folder.parent}: {first.shard} had {name.removeprefix('settings.')}={before}, {one.shard} had "
                f"{now}; run one of them again with overwrite=true"
            )
    for one in found:
        if one.total != first.total:
            raise _of_other_images(first, f"{first.shard} knew {first.total} images, {one.shard} {one.total}")


def _refuse_incomplete(found: Sequence[ShardResults]) -> None:
    left = [one for one in found if one.missing() or not one.table]
    for one in left[:1]:
        missing = one.missing() or list(one.places)
        others = f" (and so were {_names([str(other.shard.index) for other in left[1:]])})" if left[1:] else ""
        raise UserError(
            f"{one.folder}: {one.shard} was ended before {_names(missing)}{others}; run it again with resume=true"
        )


def _of_other_images(one: ShardResults, why: str) -> UserError:
    return UserError(
        f"{one.folder.parent}: the shards are not parts of one list of images ({why}); run all again with resume=true"
    )


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
