import numpy as np
import pytest
from scipy import ndimage
from skimage import io, measure

from cellflax.errors import UserError
from cellflax.labels import overlap_table
from cellflax.refine.seeds import NucleiSeedsConfig, nuclei_seeds
from tests.refine.drawing import disc

SHAPE = (200, 240)
RADIUS = 11


def blurred_field(
    centres: list[tuple[int, int]], brightness: list[float], noise: float = 5, radius: float = RADIUS
) -> tuple[np.ndarray, np.ndarray]:
    """Blurred discs on a sloping background; also their true labels."""
    truth = np.zeros(SHAPE, int)
    for label, (y, x) in enumerate(centres, 1):
        truth[disc(SHAPE, y, x, radius)] = label
    light = ndimage.gaussian_filter(np.array([0, *brightness])[truth], 1.5)
    slope = np.linspace(100, 300, SHAPE[1])
    return light + slope + np.random.default_rng(0).normal(0, noise, SHAPE), truth


def recovered(found: np.ndarray, truth: np.ndarray, min_jaccard: float) -> bool:
    """Whether the nuclei correspond one to one, each with at least that Jaccard index."""
    rows, _, jaccard = overlap_table(truth, found).pairs()
    return found.max() == truth.max() == len(np.unique(rows[jaccard >= min_jaccard]))


def test_bright_and_dim_nuclei_come_out_at_their_true_size():
    """The brightest is 50 times the dimmest: one threshold would lose one or swell the other."""
    image, truth = blurred_field([(40, 40), (40, 120), (120, 60), (130, 190)], brightness=[5000, 100, 1000, 250])
    assert recovered(nuclei_seeds(image, NucleiSeedsConfig()), truth, 0.85)


@pytest.mark.parametrize("brightness", [[1000, 1000], [1000, 300]])
def test_touching_nuclei_are_split(brightness):
    image, truth = blurred_field([(80, 80), (80, 80 + 2 * RADIUS - 1)], brightness)
    assert recovered(nuclei_seeds(image, NucleiSeedsConfig()), truth, 0.75)


def test_an_oval_nucleus_is_not_split():
    rows, columns = np.indices(SHAPE)
    oval = ((rows - 80) / 8) ** 2 + ((columns - 90) / 16) ** 2 <= 1
    image = 100 + 500 * ndimage.gaussian_filter(oval.astype(float), 1.5)
    assert nuclei_seeds(image, NucleiSeedsConfig()).max() == 1


def test_a_dark_nucleolus_is_part_of_the_nucleus():
    image, truth = blurred_field([(80, 80)], [1000], radius=14)
    image[disc(SHAPE, 80, 80, 4)] = 100
    found = nuclei_seeds(image, NucleiSeedsConfig())
    assert recovered(found, truth, 0.85)
    assert found[80, 80] == 1


def test_area_limits_drop_debris_and_blobs():
    image, _ = blurred_field([(80, 80)], [1000], radius=3)
    assert nuclei_seeds(image, NucleiSeedsConfig()).max() == 0
    assert nuclei_seeds(image, NucleiSeedsConfig(min_area=0.02)).max() == 1
    image, _ = blurred_field([(100, 100)], [1000], radius=20)
    assert nuclei_seeds(image, NucleiSeedsConfig(max_area=2)).max() == 0


def test_the_pixel_size_sets_the_scale():
    image, truth = blurred_field([(50, 50), (100, 120)], [1000, 400], radius=5)
    config = NucleiSeedsConfig(diameter_um=10.0, min_area=0.5, max_area=2)
    assert recovered(nuclei_seeds(image, config, pixel_size_um=1.0), truth, 0.7)
    assert nuclei_seeds(image, config, pixel_size_um=0.5).max() == 0
    assert nuclei_seeds(image, config).max() == 0, "without a pixel size diameter_px holds: 24"


@pytest.mark.parametrize("value", [0, 100])
def test_an_even_image_holds_no_nuclei(value):
    found = nuclei_seeds(np.full(SHAPE, value, np.uint16), NucleiSeedsConfig())
    assert found.shape == SHAPE
    assert found.max() == 0


def test_camera_noise_holds_no_nuclei():
    noise = np.random.default_rng(0).normal(100, 10, (400, 400))
    assert nuclei_seeds(noise, NucleiSeedsConfig()).max() == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NucleiSeedsConfig(diameter_px=0), r"seeds\.diameter_px must be above 0, got 0"),
        (lambda: NucleiSeedsConfig(diameter_um=-1), r"seeds\.diameter_um must be above 0"),
        (lambda: NucleiSeedsConfig(split_depth=0), r"seeds\.split_depth must be above 0"),
        (lambda: NucleiSeedsConfig(outline=1), r"seeds\.outline must be in \(0, 1\)"),
        (lambda: NucleiSeedsConfig(min_contrast=-1), r"seeds\.min_contrast must be 0 or more"),
        (
            lambda: NucleiSeedsConfig(min_area=7),
            r"seeds\.min_area must be .*max_area, got 7 and 6",
        ),
        (lambda: nuclei_seeds(np.zeros((4, 4, 2)), NucleiSeedsConfig()), r"\(4, 4, 2\): give one channel"),
        (lambda: nuclei_seeds(np.full((4, 4), np.nan), NucleiSeedsConfig()), "NaN"),
        (
            lambda: nuclei_seeds(np.zeros((4, 4)), NucleiSeedsConfig(diameter_um=1), 0),
            "pixel_size_um must be above 0, got 0",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(UserError, match=message):
        call()


@pytest.mark.real_data
@pytest.mark.parametrize("field", ["set1", "set4"])
def test_annotated_nuclei_are_found(data_root, field):
    """F1 at Jaccard 0.5 on annotated fields of HeLa-S3 and another line, by the defaults."""
    folder = data_root / "deepcell/training_data/nuclei" / field
    truth = measure.label(io.imread(folder / "feature_1.png") > 0, connectivity=1)
    truth[(np.bincount(truth.ravel()) < 30)[truth]] = 0  # strokes left over by the annotators
    found = nuclei_seeds(io.imread(folder / "nuclear.png"), NucleiSeedsConfig())
    table = overlap_table(truth, found)
    _, _, jaccard = table.pairs()
    f1 = 2 * np.sum(jaccard > 0.5) / (len(table.reference_labels) + len(table.predicted_labels))
    assert f1 > 0.95
