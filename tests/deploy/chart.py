"""Renders the chart with the values of a fixture, changed or as they are."""

import generate
import helm_python as helm
import pytest
import yaml

from places import CHART
from pod import objects


def values(name):
    return yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text())


def render(given):
    return objects(generate.rendered(given, namespace="shop"))


def refused(given):
    """What is said about values that do not do."""
    with pytest.raises(helm.HelmError) as why:
        render(given)
    return str(why.value)


def changed(path, value):
    def change(given):
        *parents, last = path.split(".")
        for parent in parents:
            given = given.setdefault(parent, {})
        given[last] = value

    return change
