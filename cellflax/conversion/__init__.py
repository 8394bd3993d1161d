"""Networks of other programs as checkpoints of cellflax."""
