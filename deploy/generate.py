"""Writes what is made: the rules and the dashboard in the chart, its README's table of values, deploy/k8s without Helm.

    target/tools/deploy/bin/python deploy/generate.py

A test fails where they differ from what this would write.
"""

import json
import pathlib
import re

import helm_python as helm
import yaml

DEPLOY = pathlib.Path(__file__).parent
CHART = DEPLOY / "helm" / "quash"
PLAIN = DEPLOY / "k8s"
MONITORING = DEPLOY / "monitoring"
README = CHART / "README.md"
MARKS = "<!-- values: made of values.yaml by deploy/generate.py -->\n", "<!-- end of values -->"
#: Labels that speak of Helm, which has no part in plain manifests.
OF_HELM = re.compile(r"^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n", re.MULTILINE)


def rendered(values, name="quash", namespace="default"):
    """Text of each template by its path in the chart; an empty one is left out."""
    with helm.Chart.load(str(CHART)) as chart:
        texts = chart.render(values, name=name, namespace=namespace)
    return {path.split("/", 1)[1]: text for path, text in texts.items() if text.strip()}


def watching():
    """What the chart repeats of deploy/monitoring, since Helm reads no file outside of a chart, by file name."""
    return {name: (MONITORING / name).read_text() for name in ("rules.yaml", "dashboard.json")}


def plain_manifests():
    """What deploy/k8s holds beside its own files, by file name."""
    values = yaml.safe_load((PLAIN / "values.yaml").read_text())
    head = "# Made of deploy/helm/quash and values.yaml by deploy/generate.py.\n"
    objects = {path: text for path, text in rendered(values).items() if re.fullmatch(r"templates/\w+\.yaml", path)}
    return {pathlib.Path(path).name: head + OF_HELM.sub("", text).strip() + "\n" for path, text in objects.items()}


def described(text):
    """Every value of values.yaml that has a comment, as (path, comment)."""
    found, parents, comment = [], [], []
    for line in text.splitlines():
        inner = line.strip()
        if inner.startswith("# "):
            comment.append(inner[2:])
            continue
        key = re.match(r"( *)([A-Za-z]+):", line)
        if key:
            parents = [*parents[: len(key[1]) // 2], key[2]]
            if comment:
                found.append((".".join(parents), " ".join(comment)))
        comment = []
    return found


def table():
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for path, meaning in described(text):
        default = values
        for part in path.split("."):
            default = default[part]
        rows.append(f"| `{path}` | `{json.dumps(default)}` | {meaning} |")
    return "\n".join(rows) + "\n"


def readme():
    before, _, rest = README.read_text().partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    assert end, f"{README} has no marks for the table"
    return before + MARKS[0] + table() + end + after


if __name__ == "__main__":
    for name, text in watching().items():
        (CHART / "files" / name).write_text(text)
    README.write_text(readme())
    for name, manifest in plain_manifests().items():
        (PLAIN / name).write_text(manifest)
