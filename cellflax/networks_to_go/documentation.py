"""What a person should know of a network to go, in Markdown."""

from typing import Any


def documentation(metadata: dict[str, Any]) -> str:
    """The documentation of a package, from its metadata."""
    checkpoint, source, output = metadata["checkpoint"], metadata["input"], metadata["output"]
    tiles, refine = metadata["tiles"], metadata["refine"]
    size = source["pixel_size_um"]
    of_pixels = "unknown" if size is None else f"{size:g} µm"
    lines = [
        f"# {checkpoint['name']}",
        "",
        f"A network of cellflax {metadata['cellflax']}, trained on: {checkpoint['data']}.",
        *_simulated(checkpoint),
        "",
        "## Input and output",
        "",
        f"- Input: raw intensities of {source['height']} x {source['width']} pixels, channels in this order: "
        f"{', '.join(source['channels'])}. Size of a pixel: {of_pixels}.",
        f"- Output, in the same pixels: {', '.join(output['names'])}.",
        f"- The first {len(output['class_names'])} are probabilities of classes ({output['class_activation']})"
        + (
            f"; {', '.join(output['map_names'])} are distances within each cell, in 0 ... 1."
            if output["map_names"]
            else "."
        ),
        f"- Mean of {metadata['members']} network(s) and {metadata['test_time_augmentation']} orientation(s).",
        "",
        "## Intensities",
        "",
        f"Each channel becomes (value - offset) / divisor, where {metadata['normalize']['scale']}. "
        + (
            f"Then the mean over {metadata['normalize']['box_px']} x {metadata['normalize']['box_px']} pixels around "
            "each is subtracted, within the network. "
            if metadata["normalize"]["box_px"]
            else ""
        )
        + metadata["normalize"]["exact"],
        "",
        "## Tiles",
        "",
        f"Edges: {tiles['edges']}. Tiles should begin at multiples of {tiles['multiple']} pixels.",
        "",
        *_before(metadata["before"]),
        "## From probabilities to cells",
        "",
        f"This is not in the network. cellflax uses refine={refine['kind']} with these settings:",
        "",
        *(f"- {key}: {value}" for key, value in refine.items() if key != "kind"),
        "",
        "## Validation",
        "",
        f"On a simulated test tile ({tiles['px']} x {tiles['px']} pixels; test_input.npy, test_output.npy) the outputs "
        f"differ from those of cellflax predict by {metadata['difference']['largest']:.1e} at most. How well the "
        "network segments images like yours, you must measure on labels of your own: cellflax evaluate.",
        "",
    ]
    return "\n".join(lines)


def _simulated(checkpoint: dict[str, Any]) -> list[str]:
    if checkpoint["simulated"]:
        return [
            "",
            "**SIMULATED DATA: this network was trained on simulated images; do not publish what it measures.**",
        ]
    if checkpoint["started_from_simulated"]:
        return ["", "**SIMULATED DATA: its training started from weights that were learned from simulated images.**"]
    return []


def _before(before: dict[str, Any]) -> list[str]:
    if before["does_nothing"]:
        return []
    settings = ", ".join(f"{key}={value}" for key, value in before["scale"].items() if value is not None)
    return [
        "## Before the network",
        "",
        f"cellflax predict first changes the image: {settings}. This is not in the network: do it yourself, so that "
        "pixels have the size above, and bring the result back to the image's own pixels.",
        "",
    ]
