"""Loads Django with the shop, once."""

from __future__ import annotations

import os
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"

import django
from django.db.backends.signals import connection_created

django.setup()


def forget_in_a_power_cut(connection: Any, **_: Any) -> None:
    """What the tests write need not outlive the machine, and waiting for the disk takes longer than all else."""
    if connection.vendor == "sqlite":
        connection.cursor().execute("PRAGMA synchronous = OFF")


connection_created.connect(forget_in_a_power_cut)
