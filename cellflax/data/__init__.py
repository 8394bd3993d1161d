"""Images and annotations in, training batches out: reading, splitting, normalising, sampling, simulating."""
