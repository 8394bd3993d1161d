"""Simulated microscopy with exact truth: shapes, specimen, optics and camera, and fields and movies of them."""

from cellflax.data.simulation.brightfield import BrightfieldConfig, simulate_brightfield_site
from cellflax.data.simulation.colony import simulate_colony
from cellflax.data.simulation.colony_config import ColonyConfig
from cellflax.data.simulation.cytoplasm import CytoplasmFieldConfig, simulate_cytoplasm_field
from cellflax.data.simulation.field import SimulatedField
from cellflax.data.simulation.hela import HelaFieldConfig, simulate_hela_field
from cellflax.data.simulation.migration import simulate_migration
from cellflax.data.simulation.migration_config import MigrationConfig
from cellflax.data.simulation.movie import SimulatedMovie, man_track
from cellflax.data.simulation.optics import PhasePolarity
from cellflax.data.simulation.stains import CytoplasmStain, Treatment
from cellflax.data.simulation.wells import Well, WellConfig

__all__ = [
    "BrightfieldConfig",
    "ColonyConfig",
    "CytoplasmFieldConfig",
    "CytoplasmStain",
    "HelaFieldConfig",
    "MigrationConfig",
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
]
