"""Loads Django with the shop, once."""

from __future__ import annotations

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"

import django

django.setup()
