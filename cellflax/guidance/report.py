"""Guidance in plain words: a page and the few lines for the screen, from what `guidance.json` holds."""

from pathlib import Path
from typing import Any

from cellflax.atomic import replacing
from cellflax.io import results
from cellflax.jsonfile import write_json

_LISTED = 10  # odd images and suspects that the page names; the tables hold all
_SAID = 3  # odd images that a line on the screen names


def write_report(run: Path, guidance: dict[str, Any]) -> None:
    """Write `guidance.md` and, last, `guidance.json`, each in one step."""
    with replacing(run / results.GUIDANCE_PAGE) as temporary:
        temporary.write_text(page_of(guidance), encoding="utf-8")
    write_json(run / results.GUIDANCE, guidance)


def page_of(guidance: dict[str, Any]) -> str:
    """The page, Markdown."""
    held_out, suspects = guidance["held_out"], guidance["suspects"]
    lines = ["# What to know about this training", "", *_held_out(held_out), ""]
    lines += ["## What to do", ""]
    hints = guidance["hints"]
    lines += [f"- **{hint['finding']}** {hint['remedy']}" for hint in hints] or [
        "The scores suggest nothing to change."
    ]
    lines += ["", "## Annotations that look wrong", "", *_suspects(guidance, suspects), ""]
    lines += ["## Images unlike the rest", "", *_odd(guidance), ""]
    if guidance["learning_curve"] is not None:
        lines += ["## Enough images?", "", *_curve(guidance["learning_curve"]), ""]
    if guidance["unusable"]:
        lines += ["## Images that could not be looked at", ""]
        lines += [f"- {name}: {reason}" for name, reason in guidance["unusable"].items()] + [""]
    return "\n".join(lines)


def counted(count: int, noun: str) -> str:
    """A number with its noun: `1 image`, `2 images`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def _held_out(held_out: dict[str, Any]) -> list[str]:
    drawn = f"95 % confidence, by drawing {held_out['drawn']}"
    return [
        f"On {counted(held_out['regions'], 'held-out region')} of {counted(held_out['images'], 'image')} with "
        f"{counted(held_out['cells'], 'cell')} ({drawn}):",
        "",
        f"- F1 at IoU 0.5: {interval_words(held_out['f1'])}",
        f"- mean Jaccard index: {interval_words(held_out['jaccard'])}",
        *([f"- only {held_out['regions']} of {held_out['of_regions']} regions were looked at"] * _sampled(held_out)),
    ]


def _sampled(held_out: dict[str, Any]) -> bool:
    return held_out["regions"] < held_out["of_regions"]


def interval_words(interval: dict[str, float | None]) -> str:
    """A score and its interval: `0.87 (0.82 to 0.91)`."""
    value, low, high = (interval[key] for key in ("value", "low", "high"))
    if value is None:
        return "unknown"
    return f"{value:.2f}" + ("" if low is None or high is None else f" ({low:.2f} to {high:.2f})")


def _suspects(guidance: dict[str, Any], suspects: dict[str, Any]) -> list[str]:
    training = guidance["training"]
    looked = (
        f"The network was compared with the annotation of {counted(guidance['held_out']['looked_at'], 'image')} with "
        f"held-out parts and {training['looked_at']} of {training['images']} other training images."
    )
    if not suspects["count"]:
        return [f"{looked} It agrees with all of it."]
    lines = [
        f"{looked} It disagrees at {counted(suspects['count'], 'place')}, {suspects['held_out']} of them held out. It "
        "has learned from the annotation of training images, so that it may have learned their mistakes, too; what it "
        "still disagrees with there deserves a look. It may be wrong itself.",
        "",
        f"`{results.SUSPECTS_TABLE}` lists all of them, held-out ones first, then the surest; "
        f"`{results.SUSPECTS_FIGURE}` shows the first {suspects['shown']}. Correct the label images where they are "
        "wrong, and train again.",
        "",
    ]
    lines += [f"- {kind['words']}: {kind['count']}" for kind in suspects["kinds"]] + [""]
    lines += ["| image | part | row, column | what | confidence |", "|---|---|---|---|---|"]
    for first in suspects["first"][:_LISTED]:
        place = f"{first['y_px']:.0f}, {first['x_px']:.0f}"
        lines.append(f"| {first['image']} | {first['part']} | {place} | {first['words']} | {first['confidence']:.2f} |")
    return lines


def _odd(guidance: dict[str, Any]) -> list[str]:
    odd = guidance["odd_images"]
    if guidance["compared_images"] < guidance["least_images"]:
        return [f"{guidance['compared_images']} images are too few to say which is unlike the rest."]
    if not odd:
        return [
            f"None of {guidance['compared_images']} images stands out. `{results.IMAGES_TABLE}` has their statistics."
        ]
    lines = [
        f"{len(odd)} of {guidance['compared_images']} images stand out. If they are mistakes (out of focus, another "
        "exposure, another magnification), leave them out; if you will segment such images, annotate more of them. "
        f"`{results.IMAGES_TABLE}` has the statistics of all.",
        "",
    ]
    lines += [f"- {image['image']}: {'; '.join(image['differs'])}" for image in odd[:_LISTED]]
    if len(odd) > _LISTED:
        lines.append(f"- and {len(odd) - _LISTED} more")
    return lines


def _curve(curve: dict[str, Any]) -> list[str]:
    lines = [curve["words"], "", "| training images | F1 | Jaccard index |", "|---|---|---|"]
    for point in curve["points"]:
        lines.append(f"| {point['images']} | {point['f1']:.3f} | {point['jaccard']:.3f} |")
    return lines


def screen_lines(run: Path, guidance: dict[str, Any]) -> list[str]:
    """The lines that matter, for the screen."""
    held_out, suspects, odd = guidance["held_out"], guidance["suspects"], guidance["odd_images"]
    lines = [
        f"held-out F1 {interval_words(held_out['f1'])}, Jaccard {interval_words(held_out['jaccard'])}, 95 % "
        f"confidence, {held_out['cells']} cells"
    ]
    if suspects["count"]:
        lines.append(
            f"the annotation looks wrong at {counted(suspects['count'], 'place')} ({suspects['held_out']} held-out, "
            f"{suspects['count'] - suspects['held_out']} in training images): see {run / results.SUSPECTS_FIGURE}"
        )
    if odd:
        named = "; ".join(f"{image['image']} ({_short(image['differs'])})" for image in odd[:_SAID])
        more = f" and {len(odd) - _SAID} more" if len(odd) > _SAID else ""
        lines.append(f"{len(odd)} of {guidance['compared_images']} images are unlike the rest: {named}{more}")
    lines += [f"{hint['finding']} {hint['remedy']}" for hint in guidance["hints"]]
    lines.append(f"in full: {run / results.GUIDANCE_PAGE}")
    return [f"guidance: {line}" for line in lines]


def _short(differs: list[str]) -> str:
    """What an image is, without the numbers."""
    return ", ".join(dict.fromkeys(words.partition(" (")[0] for words in differs))
