"""Holds what Quash removes to what the real libraries then find: one test per scenario and backend."""

import functools

import pytest

from harness.library import Library

# A folder each.
LIBRARIES = ["argcache", "cache_memoize", "djblets", "easy_cache"]


@functools.cache
def library(name):
    return Library(name)


@functools.cache
def played(name):
    """Every scenario of a library is played once, when the first of them is asked for, also if that breaks."""
    try:
        return library(name).play()
    except Exception as error:
        return error


def outcome(name, backend, scenario):
    outcomes = played(name)
    if isinstance(outcomes, Exception):
        raise outcomes
    return outcomes[backend, scenario.name]


@pytest.mark.parametrize(
    "name, backend, scenario",
    [
        pytest.param(name, backend, scenario, id=f"{name}-{backend}-{scenario.name}")
        for name in LIBRARIES
        for backend, scenario in library(name).played()
    ],
)
def test_what_goes_goes_and_its_neighbour_stays(name, backend, scenario):
    outcome(name, backend, scenario).check(scenario)


@pytest.mark.parametrize("name", LIBRARIES)
def test_there_are_enough_scenarios(name):
    scenarios = library(name).declared.SCENARIOS
    assert len(scenarios) >= 15
    assert any(scenario.goes for scenario in scenarios) and any(scenario.stays for scenario in scenarios)
