"""Parts of `cellflax.correct`: which images are worth a correction, and the folder in which they are corrected."""
