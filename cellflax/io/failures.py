"""What could not be used of a batch: reported at once and at the end, while the rest is done."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from cellflax.errors import OutputError, UserError
from cellflax.progress import say


class Failures:
    """Images of a batch that could not be used.

    Attributes:
        reasons: by image, what is wrong with it.
    """

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Do the work on one image: an error of its files is noted under its name, and ends this work only.

        Raises:
            OutputError: if a result cannot be written; the next one could not be written either.
        """
        try:
            yield
        except OutputError:
            raise
        except UserError as error:
            self.reasons[name] = str(error)
            say(f"left out: {error}")

    def require_some(self, done: int) -> None:
        """Refuse a batch of which nothing could be used.

        Args:
            done: number of images that could.

        Raises:
            UserError: if it is 0, and something failed.
        """
        if self.reasons and not done:
            raise failure(self.reasons, None)


def refuse_failed(reasons: Mapping[str, str], output: str) -> None:
    """End a command that is otherwise done, if something could not be used.

    Raises:
        UserError: see `failure`.
    """
    if reasons:
        raise failure(reasons, output)


def failure(reasons: Mapping[str, str], output: str | None, what: str | None = None) -> UserError:
    """What to report at the end about what could not be used.

    Args:
        reasons: by image, what is wrong with it; at least one.
        output: directory of the results of the others; None if there are none.
        what: what happened to how many, after their number; by default "images could not be used".
    """
    first, *more = reasons.values()
    if output is None and not more:
        return UserError(first)
    rest = f" (and {len(more)} more, see above)" if more else ""
    others = "nothing is written" if output is None else f"the others are in {output}"
    what = what or f"image{'s' * bool(more)} could not be used"
    return UserError(f"{1 + len(more)} {what}, {others}: {first}{rest}")
