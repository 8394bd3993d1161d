"""Settings of simulated micro-colonies."""

from dataclasses import dataclass

from cellflax.checks import check, within
from cellflax.errors import UserError
from cellflax.simulation.field import check_image


@dataclass
class ColonyConfig:
    """Growing E. coli on agarose and the microscope that images them.

    Attributes:
        height: rows of the image.
        width: columns of the image.
        pixel_size_um: edge of a pixel in the object plane.
        frames: number of frames.
        frame_interval_s: time between two frames, at most a quarter of the doubling time.
        founders: cells in the first frame, around the centre.
        doubling_time_min: doubling time of the median cell; areas grow exponentially.
        rate_variation: standard deviation of the logarithm of the growth rate across cells, clipped at two standard
            deviations.
        division_length_um: median length at which a cell divides into halves.
        division_variation: standard deviation of the logarithm of that length, also clipped at two.
        cell_width_um: diameter of all cells.
        index_difference: refractive index of the cells minus that of the medium; it causes phase contrast.
        illumination_variation: range of the illumination over the field, relative to its mean.
        phase_electrons: photo-electrons per background pixel.
        read_noise_electrons: read noise of the camera, standard deviation per pixel.
    """

    height: int = 384
    width: int = 384
    pixel_size_um: float = 0.065
    frames: int = 40
    frame_interval_s: float = 180.0
    founders: int = 2
    doubling_time_min: float = 25.0
    rate_variation: float = 0.1
    division_length_um: float = 4.4
    division_variation: float = 0.08
    cell_width_um: float = 0.95
    index_difference: float = 0.035
    illumination_variation: float = 0.1
    phase_electrons: float = 4000.0
    read_noise_electrons: float = 4.0

    def __post_init__(self) -> None:
        check_image(self, "colony", least_px=64)
        check(self, "colony", within(0.02, 0.5), "pixel_size_um")
        check(self, "colony", within(2, 2000), "frames")
        check(self, "colony", within(10, 3600), "frame_interval_s")
        check(self, "colony", within(1, 50), "founders")
        check(self, "colony", within(10, 1000), "doubling_time_min")
        check(self, "colony", within(0, 0.3), "rate_variation")
        check(self, "colony", within(2.5, 12), "division_length_um")
        check(self, "colony", within(0, 0.2), "division_variation")
        check(self, "colony", within(0.5, 1.2), "cell_width_um")
        check(self, "colony", within(0.001, 0.1), "index_difference")
        check(self, "colony", within(10, 30000), "phase_electrons")
        if self.frame_interval_s > 15.0 * self.doubling_time_min:
            raise UserError(
                "colony.frame_interval_s must be at most a quarter of colony.doubling_time_min, so that no division is "
                f"missed, got {self.frame_interval_s} s and {self.doubling_time_min} min"
            )
        if self.division_length_um < 3.5 * self.cell_width_um:
            raise UserError(
                "colony.division_length_um must be at least 3.5 times colony.cell_width_um, so that daughters are "
                f"rods, got {self.division_length_um} and {self.cell_width_um}"
            )
