"""Parts of the search that chooses a refinement's settings on the held-out regions of a training."""
