"""Belongs to the Django app."""
