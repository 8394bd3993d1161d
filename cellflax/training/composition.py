"""Which parts can be combined: any data, network, cost and refinement, except combinations that cannot work."""

from collections.abc import Sequence

from cellflax.data.example import Dataset, Example
from cellflax.data.sampler import PatchesConfig
from cellflax.errors import UserError
from cellflax.progress import say
from cellflax.refine import check_classes, intensity_image
from cellflax.schemas import kind_of
from cellflax.training.config import TrainConfig


def check_composition(config: TrainConfig, dataset: Dataset) -> None:
    """Refuse, before anything is computed, parts that cannot be trained or scored together.

    What only one part can check is checked there: `LossConfig.build` (weights of the classes),
    `held_out.held_out_regions` (nuclei for the refinement), `data.sampler.Sampler` (sizes of the crops).

    Raises:
        UserError: naming both parts and the remedy.
    """
    if isinstance(config.sampler, PatchesConfig):
        _check_patches(config)
    check_classes(config.refine, dataset.outputs.names)
    if dataset.map_names and not config.refine.needs_distances:
        kind = kind_of("refine", config.refine)
        say(f"note: refine={kind} does not use the distances that are learnt; refine=distances does")
    for region in dataset.validation:
        intensity_image(config.refine, region.example.image, dataset.channels)
        if config.refine.needs_pixel_size and region.example.pixel_size_um is None:
            raise UserError(
                f"{region.example.name}: its pixel size is unknown, and refine={kind_of('refine', config.refine)} "
                "measures in micrometres; save it in the image file, or take refine=watershed"
            )


def _check_patches(config: TrainConfig) -> None:
    if not config.model.takes_patches:
        raise UserError(
            f"model={kind_of('model', config.model)} labels every pixel of a crop, sampler=patches draws windows with "
            "one labelled pixel; take sampler=crops"
        )
    if not config.loss.takes_patches:
        raise UserError(
            f"loss={kind_of('loss', config.loss)} compares the pixels of a crop with each other, sampler=patches draws "
            "windows with one labelled pixel; take sampler=crops or loss=cross_entropy"
        )


def check_test(config: TrainConfig, examples: Sequence[Example]) -> None:
    """Refuse, before training, test images that could not be segmented after it.

    Raises:
        UserError: if an image's pixel size is needed and unknown.
    """
    scaled = config.scale.tophat_um is not None or config.scale.pixel_size_um is not None
    if scaled or config.refine.needs_pixel_size:
        for example in examples:
            if example.pixel_size_um is None:
                what = "scale" if scaled else f"refine={kind_of('refine', config.refine)}"
                raise UserError(
                    f"{example.name}: its pixel size is unknown, but {what} needs it for the test; save it in the "
                    "image file"
                )
