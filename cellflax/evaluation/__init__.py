"""Parts of the `evaluate` command: what it reads beside the labels, and the figures that it draws."""
