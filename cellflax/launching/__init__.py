"""Hydra's launchers and sweepers: what files may set of them, and the results of their jobs."""
