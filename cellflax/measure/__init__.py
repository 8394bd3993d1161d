"""From labelled cells to tables of numbers."""
