"""The exception that a user's mistake raises, and its kinds that a batch of images tells apart."""


class UserError(Exception):
    """Something the user gave cannot be used.

    The message is one line that names the thing (key, file, value) and the remedy; the commands print only
    this line, without a traceback, and exit with status 1.
    """


class ContentError(UserError):
    """An image that was read holds values that cannot be analysed. Others of the batch may be good."""


class BlankError(ContentError):
    """An image was read, and nothing was recorded in it: it has no cells."""


class OutputError(UserError):
    """A result cannot be written: the disk is full, say. The next one could not be written either."""
