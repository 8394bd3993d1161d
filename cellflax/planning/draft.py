"""A plan while it is made: settings with their reasons, around what the user gave."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cellflax.planning.measure import Measurements
from cellflax.planning.source import StartingNetwork
from cellflax.schemas import field_types, group_types


@dataclass(frozen=True)
class Decision:
    """One value of a plan.

    Attributes:
        key: dotted key; for an option of a group, the group.
        value: as JSON types.
        reason: why, in words, with what was measured.
        given: whether it is the user's own.
    """

    key: str
    value: Any
    reason: str
    given: bool = False


@dataclass
class Draft:
    """What rules read and write.

    Attributes:
        measured: the images and cells.
        values: what the user gave, by dotted key.
        choices: options of groups that the user chose.
        options: options of all groups, as they are without a plan.
        multiple: sizes of crops that the network of these options takes are divisible by this.
        accelerator: whether there is a GPU or TPU.
        source: the trained network that the training starts from, if there is one.
        factor: by how much the plan resamples the images.
        settings: the plan so far.
    """

    measured: Measurements
    values: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    multiple: int = 1
    accelerator: bool = False
    source: StartingNetwork | None = None
    factor: float = 1.0
    settings: list[Decision] = field(default_factory=list)

    def leaves(self, group: str, kind: str) -> bool:
        """Whether the user's own member of a group stands, because it was chosen or has a key that this kind lacks."""
        keys = {key.split(".")[1] for key in self.values if key.startswith(f"{group}.")}
        return group in self.choices or not keys <= field_types(group_types(group)[kind]).keys()

    def choose(self, group: str, option: str, kind: str, reason: str) -> bool:
        """Choose an option of a group.

        Returns:
            Whether it was chosen: the rules then set its keys.
        """
        if self.leaves(group, kind):
            why = "given" if group in self.choices else f"given: keys of {group} that {option} does not have"
            self.settings.append(Decision(group, self.choices.get(group, self.options.get(group)), why, given=True))
            return False
        self.settings.append(Decision(group, option, reason))
        return True

    def set(self, key: str, value: Any, reason: str) -> None:
        """Set a key, unless the user gave it."""
        if key in self.values:
            own = self.values[key]
            other = "" if own == value else f"the plan would take {_shown(value)}: "
            self.settings.append(Decision(key, own, f"given; {other}{reason}", given=True))
        else:
            self.settings.append(Decision(key, value, reason))

    def value(self, key: str, default: Any = None) -> Any:
        """The value of a key: given, or planned so far."""
        if key in self.values:
            return self.values[key]
        return next((setting.value for setting in reversed(self.settings) if setting.key == key), default)


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


Rule = Callable[[Draft], None]


def width_words(draft: Draft, pixels: float) -> str:
    """A length in the images' pixels, in words: in the network's pixels, if they differ."""
    seen = pixels * draft.factor
    return f"{seen:.0f} px wide" if draft.factor == 1 else f"{seen:.0f} px wide in the network"


def count_of(number: int, what: str) -> str:
    """A number of things in words: `1 image`, `2 images`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def rounded(value: float, digits: int) -> float:
    """A number to so many significant digits."""
    return float(f"{value:.{digits}g}")
