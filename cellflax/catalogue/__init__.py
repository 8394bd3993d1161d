"""The catalogue of public image sets: what each shows, and how to fetch it."""
