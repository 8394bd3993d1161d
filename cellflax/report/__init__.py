"""The page that a command leaves beside its results: `report.html`, one file that needs nothing else."""
