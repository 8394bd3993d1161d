"""Every figure: overlays, lineage trees, curves."""

import os

# Figures go to files alone. Jupyter, which starts programs with its own environment, names a backend that need not be
# installed here, and matplotlib cannot even be imported then.
os.environ["MPLBACKEND"] = "agg"
