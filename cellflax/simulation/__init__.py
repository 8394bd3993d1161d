"""Simulated microscopy with exact truth: shapes, specimen, optics and camera, and fields and movies of them."""

from cellflax.simulation.brightfield import BrightfieldConfig, simulate_brightfield_site
from cellflax.simulation.colony import simulate_colony
from cellflax.simulation.colony_config import ColonyConfig
from cellflax.simulation.cytoplasm import CytoplasmFieldConfig, simulate_cytoplasm_field
from cellflax.simulation.field import SimulatedField
from cellflax.simulation.hela import HelaFieldConfig, simulate_hela_field
from cellflax.simulation.migration import simulate_migration
from cellflax.simulation.migration_config import MigrationConfig
from cellflax.simulation.movie import SimulatedMovie, man_track
from cellflax.simulation.nuclei import NucleiFieldConfig, simulate_nuclei_field
from cellflax.simulation.optics import PhasePolarity
from cellflax.simulation.stains import CytoplasmStain, Treatment
from cellflax.simulation.wells import Well, WellConfig

__all__ = [
    "BrightfieldConfig",
    "ColonyConfig",
    "CytoplasmFieldConfig",
    "CytoplasmStain",
    "HelaFieldConfig",
    "MigrationConfig",
    "NucleiFieldConfig",
    "PhasePolarity",
    "SimulatedField",
    "SimulatedMovie",
    "Treatment",
    "Well",
    "WellConfig",
    "man_track",
    "simulate_brightfield_site",
    "simulate_colony",
    "simulate_cytoplasm_field",
    "simulate_hela_field",
    "simulate_migration",
    "simulate_nuclei_field",
]
