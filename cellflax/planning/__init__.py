"""Settings of a training, planned from the images and their labels."""
