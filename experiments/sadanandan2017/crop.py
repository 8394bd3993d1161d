"""Cut an annotated folder at a column: one side to train on, the other to test.

python experiments/sadanandan2017/crop.py ANNOTATED LEFT RIGHT [--at 0.75] [--shrink 1]
"""

import argparse
from pathlib import Path

import numpy as np
import tifffile
from skimage import transform


def main() -> None:
    """Cut every file of images/ and labels/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("annotated", type=Path, help="output of cellflax.annotate: images/ and labels/")
    parser.add_argument("left", type=Path, help="folder to write")
    parser.add_argument("right", type=Path, help="folder to write")
    parser.add_argument("--at", type=float, default=0.75, help="share of the width that goes to the left")
    parser.add_argument("--shrink", type=int, default=1, help="make pixels this many times as wide")
    options = parser.parse_args()
    for kind in ("images", "labels"):
        for file in sorted((options.annotated / kind).glob("*.tif")):
            plane = shrunk(tifffile.imread(file), options.shrink, labels=kind == "labels")
            column = round(options.at * plane.shape[1])
            for folder, part in ((options.left, plane[:, :column]), (options.right, plane[:, column:])):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(folder / kind / file.name, part)


def shrunk(plane: np.ndarray, times: int, labels: bool) -> np.ndarray:
    """Means of blocks of an image, (H, W) -> (H/times, W/times); for labels, the pixels in the middle of the blocks."""
    if labels:
        return plane[times // 2 :: times, times // 2 :: times]
    return transform.downscale_local_mean(plane, (times, times)).astype(np.float32) if times > 1 else plane


if __name__ == "__main__":
    main()
