"""Simulated microscopy with exact truth: shapes, specimen, optics and camera, and fields built from them."""

from cellflax.data.simulation.hela import HelaFieldConfig, SimulatedField, simulate_hela_field
from cellflax.data.simulation.optics import PhasePolarity

__all__ = ["HelaFieldConfig", "PhasePolarity", "SimulatedField", "simulate_hela_field"]
