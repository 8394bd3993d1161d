"""cellflax within napari: results as layers, segmentation, simulated samples, correction and retraining.

napari finds the manifest `napari.yaml` by the entry point of the package. Nothing else in cellflax imports this room,
and nothing in it imports napari, Qt or magicgui before a widget is opened: they are the extra `cellflax[napari]`.
"""
