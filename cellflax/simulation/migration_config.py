"""Settings of simulated movies of crawling cells."""

from dataclasses import dataclass

from cellflax.checks import check, within
from cellflax.simulation.field import check_image


@dataclass
class MigrationConfig:
    """Crawling cells with a reporter, a stimulus, and the microscope that images them.

    Attributes:
        height: rows of the image.
        width: columns of the image.
        pixel_size_um: edge of a pixel in the object plane.
        frames: number of frames.
        frame_interval_s: time between two frames.
        cells_per_mm2: density; a field that fills up before reaching it stays confluent.
        cell_area_um2: median area of a cell that nothing constrains.
        speed_um_per_h: mean speed of a free cell.
        persistence_min: time after which a cell has forgotten its direction.
        stimulus_s: time at which the kinase is switched on; it reaches all cells within two minutes.
        import_per_min: rate at which cytoplasmic reporter enters the nucleus.
        export_per_min: rate at which nuclear reporter leaves without stimulus.
        stimulated_per_min: rate at which it leaves right after the stimulus.
        adaptation_min: time constant with which the kinase is switched off again.
        kinetic_variation: standard deviation of the logarithm of each rate across cells.
        index_difference: refractive index of the cytoplasm minus that of the medium; it causes phase contrast.
        illumination_variation: range of the illumination over the field, relative to its mean.
        phase_electrons: photo-electrons per background pixel in the phase image.
        nuclear_electrons: photo-electrons per pixel of the median nucleus.
        reporter_electrons: photo-electrons per pixel of the median cell if its reporter were spread evenly.
        read_noise_electrons: read noise of the camera, standard deviation per pixel.
    """

    height: int = 320
    width: int = 320
    pixel_size_um: float = 0.65
    frames: int = 30
    frame_interval_s: float = 300.0
    cells_per_mm2: float = 220.0
    cell_area_um2: float = 1400.0
    speed_um_per_h: float = 12.0
    persistence_min: float = 40.0
    stimulus_s: float = 1800.0
    import_per_min: float = 0.12
    export_per_min: float = 0.15
    stimulated_per_min: float = 0.6
    adaptation_min: float = 40.0
    kinetic_variation: float = 0.2
    index_difference: float = 0.015
    illumination_variation: float = 0.1
    phase_electrons: float = 3600.0
    nuclear_electrons: float = 700.0
    reporter_electrons: float = 500.0
    read_noise_electrons: float = 4.0

    def __post_init__(self) -> None:
        check_image(self, "migration", least_px=64)
        check(self, "migration", within(0.1, 2.0), "pixel_size_um")
        check(self, "migration", within(2, 2000), "frames")
        check(self, "migration", within(10, 3600), "frame_interval_s")
        check(self, "migration", within(1, 2000), "cells_per_mm2")
        check(self, "migration", within(400, 5000), "cell_area_um2")
        check(self, "migration", within(0, 100), "speed_um_per_h")
        check(self, "migration", within(1, 600), "persistence_min")
        check(self, "migration", within(0, 1e6), "stimulus_s")
        check(self, "migration", within(0.001, 10), "import_per_min", "export_per_min", "stimulated_per_min")
        check(self, "migration", within(0.1, 10000), "adaptation_min")
        check(self, "migration", within(0, 1), "kinetic_variation")
        check(self, "migration", within(0, 0.1), "index_difference")
        check(self, "migration", within(10, 9000), "phase_electrons", "nuclear_electrons", "reporter_electrons")
