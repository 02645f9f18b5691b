"""Is the Django project of the tests: a small book shop."""
