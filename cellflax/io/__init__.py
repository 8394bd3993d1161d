"""Images, label images and movies in files: one file per format."""
