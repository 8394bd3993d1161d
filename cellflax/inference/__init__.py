"""Whole images of any size through a network."""
