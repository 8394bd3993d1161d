"""Tables and figures of many runs, from their directories alone."""
