"""Is the application of the tests: pages of the book shop (`clients/python/tests/shop`), behind caches."""
