"""What a training says of its data: to its checkpoints, and on the screen."""

from collections import Counter
from typing import Any

from cellflax.data.example import IGNORE, Dataset
from cellflax.labels import label_values
from cellflax.progress import say


def describe_data(dataset: Dataset) -> dict[str, Any]:
    """What a checkpoint says about the data it was trained on."""
    sizes = {example.pixel_size_um for example in dataset.train}
    return {
        "source": dataset.source,
        "simulated": dataset.simulated,
        "simulated_images": dataset.simulated_images,
        "channels": list(dataset.channels),
        "class_names": list(dataset.class_names),
        "pixel_size_um": sizes.pop() if len(sizes) == 1 else None,
        "train": list(dict.fromkeys(example.name for example in dataset.train)),  # a co-culture repeats some
        "validation": [region.example.name for region in dataset.validation],
        "test": [example.name for example in dataset.test],
    }


def announce_data(dataset: Dataset) -> None:
    """Say what a network will learn from, and on what it is validated and tested."""
    if dataset.simulated_images is not None:
        say(f"PARTLY SIMULATED DATA: {dataset.simulated_images} of the images are simulated, the others are not")
    elif dataset.simulated:
        say("!" * 100)
        say("SIMULATED DATA: this network learns from simulated images; do not publish what it measures on others")
        say("!" * 100)
    cells = sum(len(label_values(r.example.annotated_cells[r.slices])) for r in dataset.validation)
    say(f"data: {dataset.source}; channels {', '.join(dataset.channels)}")
    if any(example.ignored is not None for example in dataset.train):
        pixels = sum(example.classes.size for example in dataset.train)
        known = sum(int((example.classes != IGNORE).sum()) for example in dataset.train)
        say(f"annotated in parts: the network learns from {100 * known / pixels:.1f} % of the training pixels")
    say(f"validation: {cells} cells in {len(dataset.validation)} held-out regions")
    if dataset.test:
        images = Counter(example.data_set for example in dataset.test)
        say(f"test: {len(dataset.test)} images ({', '.join(f'{name} {n}' for name, n in images.items())})")
