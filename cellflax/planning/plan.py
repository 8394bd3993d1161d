"""A plan: what was measured, and the settings that follow from it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cellflax.errors import UserError
from cellflax.planning.cell_rules import plan_prediction, plan_refinement, plan_seeds
from cellflax.planning.draft import Decision, Draft, Rule
from cellflax.planning.measure import Measurements
from cellflax.planning.rules import (
    plan_annotation,
    plan_channels,
    plan_intensities,
    plan_network,
    plan_scale,
    plan_split,
)
from cellflax.planning.source import StartingNetwork
from cellflax.planning.training_rules import plan_crops, plan_target, plan_training

# Later rules read what earlier ones set.
RULES: tuple[Rule, ...] = (
    plan_channels,
    plan_annotation,
    plan_split,
    plan_scale,
    plan_intensities,
    plan_network,
    plan_crops,
    plan_target,
    plan_training,
    plan_seeds,
    plan_refinement,
    plan_prediction,
)


@dataclass(frozen=True)
class Plan:
    """What training will do, and why.

    Attributes:
        measured: the images and cells.
        settings: values with their reasons, in the order in which they were found.
        others: what the user gave besides, by dotted key.
        choices: options of groups that the user chose.
    """

    measured: Measurements
    settings: tuple[Decision, ...]
    others: Mapping[str, Any]
    choices: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "measured": self.measured.to_json(),
            "settings": [asdict(setting) for setting in self.settings],
            "given": dict(self.others),
            "choices": dict(self.choices),
        }


def make_plan(
    measured: Measurements,
    values: Mapping[str, Any],
    choices: Mapping[str, str],
    options: Mapping[str, str] | None = None,
    multiple: int = 1,
    accelerator: bool = False,
    source: StartingNetwork | None = None,
) -> Plan:
    """Apply the rules.

    Args:
        measured: the images and cells.
        values: what the user gave, by dotted key.
        choices: options of groups that the user chose.
        options: options of all groups, as they are without a plan.
        multiple: sizes of crops that the network of these options takes are divisible by this.
        accelerator: whether there is a GPU or TPU.
        source: the trained network that the training starts from, if there is one.

    Raises:
        UserError: if one cell cannot be divided between training and validation.
    """
    if measured.cells.count < 2:
        raise UserError(
            f"{measured.source}: one cell is annotated, but training needs one to learn from and another for the "
            "validation; annotate more"
        )
    draft = Draft(measured, values, choices, options or {}, multiple, accelerator, source)
    for rule in RULES:
        rule(draft)
    planned = {setting.key for setting in draft.settings}
    others = {key: value for key, value in values.items() if key not in planned}
    return Plan(measured, tuple(draft.settings), others, choices)
