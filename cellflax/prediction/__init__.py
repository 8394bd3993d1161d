"""Parts of `cellflax.predict`."""
