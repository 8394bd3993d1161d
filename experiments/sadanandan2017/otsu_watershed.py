"""Nuclei by Otsu's threshold and a watershed of the distance transform, as scikit-image's gallery shows it.

The baseline for `cellflax.annotate`, without any setting ("Watershed segmentation" of the gallery, scikit-image 0.26,
with its 3 x 3 footprint):

    python experiments/sadanandan2017/otsu_watershed.py $CELLFLAX_DATA/dsb2018/images OUTPUT
"""

import sys
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from cellflax.io.images import list_files, read_image, write_labels


def otsu_watershed(image: np.ndarray) -> np.ndarray:
    """Label the nuclei of an (H, W) image."""
    mask = image > threshold_otsu(image)
    distance = ndimage.distance_transform_edt(mask)
    peaks = np.zeros(mask.shape, bool)
    peaks[tuple(peak_local_max(distance, footprint=np.ones((3, 3)), labels=mask.astype(int)).T)] = True
    markers, _ = ndimage.label(peaks)
    return watershed(-distance, markers, mask=mask)


def main() -> None:
    """Label all images of a folder."""
    source, output = sys.argv[1:]
    for file in list_files(source):
        write_labels(Path(output) / f"{file.stem}.tif", otsu_watershed(read_image(file).pixels[..., 0]))


if __name__ == "__main__":
    main()
