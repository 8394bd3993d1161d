"""Every figure: overlays, lineage trees, curves."""
