"""The rows that processes of a rolling deployment read, which stand in a Redis of their own."""

#: Few, so that one is being read whenever it changes.
ROWS = 4
KEY = "row:{}"
READS = "reads:{}"
STOP = "stop:{}"


def read(source, number):
    """The row as it is now."""
    return f"row {source.get(KEY.format(number)) or 0}"


def write(source, number):
    """Commits a change of it."""
    source.incr(KEY.format(number))
