"""Tables of cases in one test: the case that fails is named."""

from contextlib import contextmanager


@contextmanager
def case(*what):
    """Name a case in whatever fails in it."""
    try:
        yield
    except BaseException as error:  # pytest's own failures are no Exception
        error.add_note(f"in the case {', '.join(map(repr, what))}")
        raise
