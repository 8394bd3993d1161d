"""Cells over time: links between frames, lineages, and the formats that trackers exchange."""
