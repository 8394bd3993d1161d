"""Trained networks as files that other programs run: ONNX, StableHLO, BioImage.IO.

Every format holds the same function, `tile.TileFunction`: raw intensities of a tile in, probabilities out.
"""
