"""Write a store of ten crops in three chunks, as a training does before its first step: `output=DIR`."""

import sys
from dataclasses import replace

from cellflax.data import crop_store
from cellflax.data.augment import AugmentConfig
from cellflax.data.sampler import CropsConfig, Sampler
from cellflax.data.stored_batches import stored_batches
from cellflax.errors import UserError
from cellflax.interruption import ending_in_one_line
from tests.data.test_sampler import BORDER, CLASSES, EXAMPLES, SIZE


def main() -> None:
    """Write what is missing."""
    output = sys.argv[1].removeprefix("output=")
    crop_store._CHUNK_BYTES = 4 * 4 * 4 * (SIZE + 2 * BORDER) ** 2
    config = CropsConfig(batch=3, size=SIZE, stored_crops=10, augment=AugmentConfig(gain=0.1), store=output)
    with ending_in_one_line():
        try:
            sampler = Sampler(replace(config, store=None), EXAMPLES, border=BORDER, multiple=4, classes=CLASSES)
            stored_batches(config, sampler, 5, 1)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
