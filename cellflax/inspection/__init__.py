"""Parts of `cellflax inspect`."""
