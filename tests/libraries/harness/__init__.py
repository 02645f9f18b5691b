"""Proves with the real libraries that what ought to go goes, and that its neighbours stay."""
