"""The data that a network was trained on, as they are on disk now."""

from cellflax.data.datasets import load_dataset
from cellflax.data.example import Dataset
from cellflax.device import set_up_jax
from cellflax.errors import UserError
from cellflax.prediction.trained import TrainedModel


def trained_on(model: TrainedModel) -> Dataset:
    """Read the data set that a checkpoint names.

    Raises:
        UserError: if it names none, or if the data have other channels or classes now, or are simulated in their place.
    """
    set_up_jax(model.config.trainer.precision.name)
    if model.config.data is None:
        raise UserError(f"checkpoint {model.path} does not say what it was trained on, so nothing was held out")
    dataset = load_dataset(model.config.data)
    if dataset.simulated != model.simulated:
        raise UserError(
            f"checkpoint {model.path} was trained on {model.record['data']['source']}, but there is only "
            f"{dataset.source}; set CELLFLAX_DATA to the data it was trained on"
        )
    for what, now, then in (
        ("channels", dataset.channels, model.channels),
        ("classes", model.config.target.outputs(dataset.class_names).class_names, model.class_names),
    ):
        if tuple(now) != then:
            raise UserError(
                f"checkpoint {model.path} was trained on the {what} {', '.join(then)}, but its data have "
                f"{', '.join(now)} now; restore those of its training"
            )
    return dataset


def require_same_regions(model: TrainedModel, dataset: Dataset) -> None:
    """Refuse held-out regions of other images than those of the training.

    After a new split, images of the training, or those that were kept for a test, may be held out.

    Raises:
        UserError: if the images differ.
    """
    kept = model.record["data"].get("validation", [])
    if [region.example.name for region in dataset.validation] != kept:
        raise UserError(
            f"checkpoint {model.path} held out {len(kept)} regions of other images than there are now; restore those "
            "of its training"
        )
