"""Parts of `cellflax.export`: results in the formats of other programs, also for `predict`, `track` and `quantify`."""
