"""Apply a network to whole images of any size."""
