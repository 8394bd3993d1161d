"""Labels of cells from their stains, one published method per file; `cellflax.annotation` calls them."""
