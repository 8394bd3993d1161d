"""How damaged files are reported, and files that cannot hold what they declare."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cellflax.errors import UserError
from cellflax.io.notices import warn

DAMAGED = "damaged or incomplete"  # what `decoding` says of a file

# What tifffile only logs where pixels are missing or other than the file declares.
_PIXELS_MISSING = re.compile(
    r"missing data are zeroed|missing .*(frames|pages|files|required)|index out of range|invalid (first )?page offset|"
    r"invalid offset to|invalid value_?.?offset|corrupt|circular|no pages|could not read all|failed to re|"
    r"discontiguous|incomplete",
    re.IGNORECASE,
)
# What it logs of every LSM file with two channels.
_USUAL = re.compile("correcting LSM bitspersample tag")


@contextmanager
def decoding(path: Path, fault: str) -> Iterator[None]:
    """Report any exception of a decoder as a fault of the file ("damaged"), with the decoder's reason.

    Raises:
        UserError: for any exception except a `UserError`, which passes unchanged, and for missing pixels that tifffile
            only logs. Its other warnings are printed.
    """
    logger = logging.getLogger("tifffile")
    log = _Lines()
    level, propagate, handlers = logger.level, logger.propagate, logger.handlers
    logger.setLevel(logging.WARNING)
    logger.propagate, logger.handlers = False, [log]
    try:
        yield
        _judge(path, fault, log.lines)
    except UserError:
        _refuse_missing_pixels(path, fault, log.lines)  # the deeper cause, where there is one
        raise
    except MemoryError as error:
        raise UserError(f"{path}: needs more memory than there is; crop it or split it") from error
    except Exception as error:  # a damaged file can make a decoder raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: {fault} ({reason}); copy or export it again") from error
    finally:
        logger.setLevel(level)
        logger.propagate, logger.handlers = propagate, handlers


class _Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(re.sub(r"^<[^>]*>\s*", "", record.getMessage().splitlines()[0]))


def _refuse_missing_pixels(path: Path, fault: str, lines: list[str]) -> None:
    for line in lines:
        if _PIXELS_MISSING.search(line):
            raise UserError(f"{path}: {fault} ({line}); copy or export it again")


def _judge(path: Path, fault: str, lines: list[str]) -> None:
    _refuse_missing_pixels(path, fault, lines)
    for line in lines:
        if not _USUAL.search(line):
            warn(f"{path}: {line}")


def require_plausible_size(path: Path, declared: int, most: int) -> None:
    """Check that a file can hold the pixels it declares, before memory is claimed for them.

    Args:
        path: the file.
        declared: bytes of the pixels that it declares.
        most: bytes that its content can stand for.

    Raises:
        UserError: if it cannot.
    """
    if declared > most:
        raise UserError(
            f"{path}: damaged or incomplete (declares {declared} bytes of pixels and can hold {most}); copy or export "
            "it again"
        )
