"""A plan while it is made: settings with their reasons, around what the user gave."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cellflax.planning.measure import Measurements
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
        multiple: sizes of crops that the user's network takes are divisible by this; None without such a network.
        accelerator: whether there is a GPU or TPU.
        factor: by how much the plan resamples the images.
        settings: the plan so far.
    """

    measured: Measurements
    values: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    multiple: int | None = None
    accelerator: bool = False
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
            self.settings.append(Decision(group, self.choices.get(group), why, given=True))
            return False
        self.settings.append(Decision(group, option, reason))
        return True

    def set(self, key: str, value: Any, reason: str) -> None:
        """Set a key, unless the user gave it."""
        if key in self.values:
            self.settings.append(Decision(key, self.values[key], f"given; the plan would take {value}: {reason}", True))
        else:
            self.settings.append(Decision(key, value, reason))

    def value(self, key: str, default: Any = None) -> Any:
        """The value of a key: given, or planned so far."""
        if key in self.values:
            return self.values[key]
        return next((setting.value for setting in reversed(self.settings) if setting.key == key), default)


Rule = Callable[[Draft], None]
