"""Parts of the calibration on held-out cells: which are right, what tells them from wrong ones, and how reliably."""
