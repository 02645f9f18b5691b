"""The rows that processes of a rolling deployment read, which stand in a Redis of their own."""

#: Few, so that one is being read whenever it changes.
ROWS = 4
KEY = "row:{}"
READS = "reads:{}"
STOP = "stop:{}"
#: The row that was read last and is not stored yet.
LOADING = "loading"


def read(source, number):
    """The row as it is now."""
    return f"row {source.get(KEY.format(number)) or 0}"


def is_loading(source, number):
    """Tells the test that a row was read, and is about to be stored."""
    with source.pipeline() as pipeline:
        pipeline.lpush(LOADING, number).ltrim(LOADING, 0, 0).execute()


def next_loading(source, seconds):
    """Waits until somebody has read a row, and gives its number; `None` where nobody does within this time."""
    source.delete(LOADING)
    loading = source.blpop(LOADING, timeout=seconds)
    return loading and int(loading[1])


def write(source, number):
    """Commits a change of it."""
    source.incr(KEY.format(number))
