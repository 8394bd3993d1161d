"""What a network learns from the cells: the classes of the data, distances within the cells, or both.

The three papers learn classes. Distances are those of torch_em (Archit & Pape 2022): to the centre of a pixel's own
cell and to its outline, each divided by the cell's largest. They are scalars, so that they survive rotations and
reflections, and their averages over networks and transforms mean something.
"""

from cellflax.targets.base import TargetConfig
from cellflax.targets.distances import BOUNDARY, CENTRE, DISTANCES, distance_maps
from cellflax.targets.outputs import Outputs, split_planes

__all__ = ["BOUNDARY", "CENTRE", "DISTANCES", "Outputs", "TargetConfig", "distance_maps", "split_planes"]
