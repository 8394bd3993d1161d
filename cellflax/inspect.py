"""Show what cellflax reads in image files, and how it would group and pair them.

    cellflax inspect FOLDER
    cellflax inspect a.czi b.ome.zarr
    cellflax inspect FOLDER 'channels=[phase,nuclear]'

Prints a line per image: frames, focal planes, channels, size, type of the pixels, size of a pixel and time between
frames, as the file says; what it does not say is unknown. For a folder it also prints which files would be one image
(with `channels`), how images and labels would be paired for training, and which frames of a movie the files would be.
It reads no pixels and writes nothing. The exit status is 1 if a file cannot be read.
"""

from dataclasses import dataclass, field

from cellflax.config import entry
from cellflax.errors import UserError
from cellflax.inspection.folders import files_by_folder, training_uses, uses_of
from cellflax.inspection.lines import image_lines
from cellflax.io.reading import ReadingOptions
from cellflax.progress import show


@dataclass
class InspectConfig(ReadingOptions):
    """Options of `cellflax.inspect`.

    Attributes:
        input: files, folders (with their sub-folders) or patterns.
        channels: as for `cellflax.predict`, to see how files of several channels are grouped.
    """

    input: list[str] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)


@entry("inspect", InspectConfig, positional="input")
def main(config: InspectConfig) -> None:
    """Print what was understood of each file."""
    if not config.input:
        raise UserError("no files are given; add FILE, DIR or GLOB")
    unread = 0
    for text in config.input:
        for folder, files in files_by_folder(text).items():
            show(f"{folder}: {len(files)} image file{'s' * (len(files) > 1)}")
            for line in image_lines(files, config.reading()):
                show(f"  {line.text}")
                unread += line.is_error
            for use in uses_of(files, config.channels, config.reading()):
                show(f"  -> {use}")
        for use in training_uses(text, config.channels, config.reading()):
            show(f"{text} -> {use}")
    if unread:
        raise UserError(f"{unread} files cannot be read, see above")


if __name__ == "__main__":
    main()
