"""Images, label images and movies in files, and the names of results.

`readers.READERS` is the table of file formats, with one file for each. `results` has the names of the files that
commands write and of their columns.

These words have one meaning throughout the package:

    image       pixels of one field at one time with all its channels, (H, W, C): `images.Image`
    labels      (H, W) integers, 0 = background
    frame       what a movie shows at one time
    movie       frames in order of time
    recording   label images that are measured together, from a movie or not

Each kind of movie has one class:

    movies.ImageMovie                       images, read frame by frame whenever one is wanted
    movies.LabelMovie                       labels, read once and kept compressed
    movie_file.MovieFile                    an open TIFF, read frame by frame
    frames.Frames                           an image or a movie, read frame by frame, from a file or one per channel
    label_movie_file.LabelMovieWriter       labels, written frame by frame
    tiff_maps.MapWriter                     probabilities of an image or a movie, written window by window
    tracking.cells.MovieCells, FrameCells   cells of a movie, and of one frame, as measured for tracking
    tracking.ctc.TrackedMovie               labels that are track numbers, with the table of tracks
    quantification.recording.Recording      label images to quantify; each is a `RecordedFrame`
    simulation.movie.SimulatedMovie         simulated images with their exact truth
"""
