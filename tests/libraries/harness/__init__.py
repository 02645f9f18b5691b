"""Proves with the real libraries that what ought to go goes, and that its neighbours stay."""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[3]
