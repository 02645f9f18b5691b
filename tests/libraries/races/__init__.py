"""Races between loads and removals, through libraries that never heard of leases."""
