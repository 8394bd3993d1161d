"""ZIP archives from elsewhere: nothing is written outside of the folder, and no more than the archive declares."""

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from cellflax.atomic import new_directory
from cellflax.errors import UserError


def unpack(archive: Path, folder: Path) -> list[Path]:
    """Unpack an archive into a folder that is new; it appears whole or not at all.

    Returns:
        The files, relative to the folder, sorted.

    Raises:
        UserError: if the archive is damaged, needs more space than there is, or has a member that is neither a file
            nor a folder, or that would be written outside of the folder.
    """
    try:
        with zipfile.ZipFile(archive) as opened, new_directory(folder) as new:
            members = [member for member in opened.infolist() if not member.is_dir()]
            places = [_place(archive, member) for member in members]
            if len({str(place).casefold() for place in places}) < len(places):
                raise UserError(f"{archive}: holds a file twice; fetch it again from another place")
            needed, free = sum(member.file_size for member in members), shutil.disk_usage(new).free
            if needed > free:
                raise UserError(f"{archive}: needs {needed} bytes and the disk has {free}; give another output")
            for member, place in zip(members, places, strict=True):
                (new / place).parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, (new / place).open("xb") as target:
                    shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{archive}: cannot be unpacked ({error}); remove it and fetch it again") from error
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{archive}: a file is in the way of another ({error.filename}); unpack it by hand") from error
    return sorted(Path(place) for place in places)


def _place(archive: Path, member: zipfile.ZipInfo) -> PurePosixPath:
    """Where a member belongs, if that is inside of the folder."""
    name = member.orig_filename
    place = PurePosixPath(name)
    kind = stat.S_IFMT(member.external_attr >> 16)
    outside = (
        place.is_absolute() or ".." in place.parts or "\\" in name or ":" in name or "\0" in name or not place.parts
    )
    if outside or kind not in (0, stat.S_IFREG):
        what = "would be written elsewhere" if outside else "is no regular file"
        raise UserError(
            f"{archive}: its member {name!r} {what}; nothing was unpacked, ask the source for another archive"
        )
    return place
