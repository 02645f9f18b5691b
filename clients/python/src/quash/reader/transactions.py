"""Asks whether what is loaded now may be stored: a transaction sees what others do not see yet, or no longer."""

from __future__ import annotations

import sys

#: Where no database layer is known, nothing speaks against it.
_ALWAYS = 0


def stamp() -> int | None:
    """The number of writes in transactions so far; `None` while nothing may be stored.

    What is loaded between two equal stamps may be stored. Only Django's transactions are known.
    """
    if "django.db" not in sys.modules:
        return _ALWAYS
    from django.conf import settings

    if not settings.configured:
        return _ALWAYS
    from ..django import snapshots

    found: int | None = snapshots.stamp()
    return found
