"""The door for Python: trained networks, tracking and scoring as functions of arrays.

    model = cellflax.load("runs/mine/2026-01-31_12-00-00")
    result = model(image, pixel_size_um=0.65, channels=["phase", "nuclear"])
    result.labels, result.cells

The results equal those that the corresponding commands write. `import cellflax` imports this module at the first use of
one of its names.
"""
