"""Metrics of cells (overlap, detection) and pixels: arrays in, records out."""
