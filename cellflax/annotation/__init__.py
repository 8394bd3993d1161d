"""What `cellflax.annotate` does: its settings, its input and output files, and the review of the sites."""
