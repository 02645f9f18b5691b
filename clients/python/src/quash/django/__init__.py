"""Publishes what a Django project changes: add `quash.django` to `INSTALLED_APPS` and say `QUASH = {…}`.

Models and querysets of this package are in `quash.django.querysets`; what is here works before the apps are loaded.
"""

from __future__ import annotations

from ..scope import captured_events, coalesce, disabled

__all__ = ["captured_events", "coalesce", "disabled"]
