"""The one exception that a user's mistake raises."""


class UserError(Exception):
    """Something the user gave cannot be used.

    The message is one line that names the thing (key, file, value) and the remedy; the commands print only
    this line, without a traceback, and exit with status 1.
    """
