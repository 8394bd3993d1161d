"""Parts of `cellflax.train`."""
