"""Builds what a release is made of, as far as this machine can, and holds the workflows to it."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib

import pytest
import yaml
from places import BIN, QUASH, ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def workflow(name):
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())


def steps(jobs):
    return [step for job in jobs.values() for step in job["steps"]]


def test_actionlint_and_shellcheck_find_nothing_in_the_workflows():
    found = subprocess.run(
        [BIN / "actionlint", "-shellcheck", BIN / "shellcheck", *WORKFLOWS], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_they_would_find_an_unquoted_variable_and_an_unknown_key(tmp_path):
    wrong = tmp_path / "wrong.yml"
    step = '{"run": "rm $GITHUB_SHA"}'
    wrong.write_text(
        f'{{"on": "push", "jobs": {{"one": {{"runs-on": "ubuntu-24.04", "step": [], "steps": [{step}]}}}}}}'
    )
    found = subprocess.run(
        [BIN / "actionlint", "-shellcheck", BIN / "shellcheck", wrong], capture_output=True, text=True
    )
    assert "SC2086" in found.stdout
    assert '"step"' in found.stdout


@pytest.mark.parametrize("path", [ROOT / "deploy" / "package.sh", ROOT / "test"], ids=lambda path: path.name)
def test_shellcheck_finds_nothing_in_the_scripts(path):
    found = subprocess.run([BIN / "shellcheck", path], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_name_every_version_and_ask_for_no_more_rights_than_they_need(path):
    text, given = path.read_text(), yaml.safe_load(path.read_text())
    for used in re.findall(r"uses: (.*)", text):
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used
    assert "latest" not in text
    assert given["permissions"] == {"contents": "read"}
    for name, job in given["jobs"].items():
        assert "timeout-minutes" in job, name
        assert "latest" not in str(job["runs-on"])
    for step in steps(given["jobs"]):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_everything_has_one_version(tmp_path):
    """The script of the release that compares a tag with the tree, run with the tag that the tree would have."""
    (script,) = [step["run"] for step in workflow("release")["jobs"]["version"]["steps"] if step.get("id") == "tag"]
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    for tag, passes in [(f"v{version}", True), ("v99.0.0", False)]:
        output = tmp_path / tag
        output.touch()
        environment = os.environ | {"GITHUB_REF_NAME": tag, "GITHUB_OUTPUT": str(output)}
        ran = subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=ROOT, env=environment)
        assert (ran.returncode == 0) == passes
        assert output.read_text() == (f"version={version}\n" if passes else "")


def test_the_notes_of_a_release_are_its_part_of_the_changelog():
    (script,) = [step["run"] for step in steps(workflow("release")["jobs"]) if "gh release" in step.get("run", "")]
    awk = script.splitlines()[0].removesuffix(" >notes.md")
    environment = os.environ | {"VERSION": "0.1.0"}
    notes = subprocess.run(
        ["bash", "-c", awk], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "The whole flow over Redis Streams" in notes
    assert "## " not in notes


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    out = tmp_path_factory.mktemp("package")
    subprocess.run([ROOT / "deploy" / "package.sh", QUASH, out], check=True, capture_output=True)
    return out


def test_the_archive_has_what_a_machine_needs(package, tmp_path):
    (archive,) = package.glob("*.tar.gz")
    name = archive.name.removesuffix(".tar.gz")
    with tarfile.open(archive) as packed:
        members = packed.getmembers()
        packed.extractall(tmp_path, filter="data")
    assert {(member.uid, member.gid, member.mtime) for member in members} == {(0, 0, 0)}
    folder = tmp_path / name
    assert {"quash", "quash.service", "LICENSE-MIT", "LICENSE-APACHE"} <= {path.name for path in folder.iterdir()}
    assert (folder / "man" / "quash-run.1").read_text().startswith(".")
    said = subprocess.run([folder / "quash", "--version"], capture_output=True, text=True, check=True).stdout
    assert name == f"quash-{said.split()[1]}-linux-{os.uname().machine}"


def test_the_debian_package_names_files_that_are_there(package):
    """`cargo deb` itself is not run here: it would have to be built first."""
    deb = tomllib.loads((ROOT / "crates" / "cli" / "Cargo.toml").read_text())["package"]["metadata"]["deb"]
    crate = ROOT / "crates" / "cli"
    for source, destination, mode in deb["assets"]:
        assert not destination.startswith("/")
        assert mode == ("755" if destination == "usr/bin/" else "644")
        if source == "target/release/quash":
            continue
        made = source.removeprefix("../../target/package/")
        found = list(package.glob(made)) if made != source else [(crate / source).resolve(strict=True)]
        assert found, source
    # Without a folder of maintainer scripts `cargo deb` makes none for the unit either.
    assert deb["maintainer-scripts"] == deb["systemd-units"]["unit-scripts"]
    assert (crate / deb["maintainer-scripts"] / "quash.service").is_file()
    assert (crate / deb["license-file"][0]).is_file()


def test_the_wheel_is_whole_in_a_fresh_environment(tmp_path):
    wheels = tmp_path / "wheels"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    # A copy, so that the build leaves nothing beside the sources.
    source = tmp_path / "client"
    subprocess.run(["cp", "-r", ROOT / "clients" / "python", source], check=True)
    # With the build tool that is pinned, and so without asking for another one.
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", wheels, source]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = wheels.iterdir()
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "fresh"], check=True)
    python = tmp_path / "fresh" / "bin" / "python"
    subprocess.run([python, *pip[1:], "install", "--no-index", wheel], check=True)
    script = "import quash, quash.django; print(quash.__version__, quash.Event.update('a', key={'id': 1}).entity)"
    said = subprocess.run([python, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert (said.returncode, said.stdout) == (0, f"{version} a\n"), said.stderr
    sources = {
        path.relative_to(ROOT / "clients/python/src") for path in (ROOT / "clients/python/src/quash").rglob("*.py")
    }
    (installed,) = (tmp_path / "fresh").glob("lib/python3*/site-packages/quash")
    assert sources == {path.relative_to(installed.parent) for path in installed.rglob("*.py")}
    assert (installed / "py.typed").is_file()
