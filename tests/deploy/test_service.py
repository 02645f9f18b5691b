"""Holds the systemd unit to what systemd says of it, and to the worker that it starts."""

import configparser
import json
import re
import shutil
import subprocess

import pytest
from places import QUASH, ROOT

UNIT = ROOT / "deploy" / "systemd" / "quash.service"
#: Out of 100; what is left is that it uses the network.
EXPOSURE = 15


@pytest.fixture
def machine(tmp_path):
    """A root with systemd's own units, the programs that the unit starts, and the unit."""
    shutil.copytree("/lib/systemd/system", tmp_path / "lib/systemd/system", symlinks=True)
    for program in ("usr/bin/quash", "bin/kill"):
        (tmp_path / program).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", tmp_path / program)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    shutil.copy(UNIT, tmp_path / "etc/systemd/system")
    return tmp_path


def analyze(verb, *args):
    return subprocess.run(["systemd-analyze", verb, *args], capture_output=True, text=True)


def verify(machine):
    return analyze("verify", "--man=no", "--recursive-errors=no", f"--root={machine}", "quash.service")


def security(unit):
    return analyze("security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", str(unit))


def test_systemd_finds_nothing_wrong_with_the_unit(machine):
    found = verify(machine)
    assert (found.returncode, found.stderr) == (0, "")


def test_it_would_find_a_misspelt_setting_and_a_missing_program(machine):
    unit = machine / "etc/systemd/system/quash.service"
    unit.write_text(UNIT.read_text().replace("ProtectHome=", "ProtctHome="))
    assert "ProtctHome" in verify(machine).stderr
    shutil.copy(UNIT, unit)
    (machine / "usr/bin/quash").unlink()
    assert verify(machine).returncode != 0


def test_systemd_takes_the_drop_in_of_the_manual(machine):
    drop_in = machine / "etc/systemd/system/quash.service.d/override.conf"
    drop_in.parent.mkdir()
    manual = (ROOT / "docs" / "deploying.md").read_text()
    drop_in.write_text(manual.split("```ini\n")[1].split("```")[0])
    found = verify(machine)
    assert (found.returncode, found.stderr) == (0, "")
    drop_in.write_text(drop_in.read_text().replace("LoadCredential", "LoadCredentials"))
    assert "LoadCredentials" in verify(machine).stderr


def test_the_unit_exposes_little(tmp_path):
    found = security(UNIT)
    assert found.returncode == 0, found.stdout
    bare = tmp_path / "quash.service"
    bare.write_text("[Service]\nExecStart=/usr/bin/quash run\n")
    assert security(bare).returncode != 0


def settings():
    # Keys may repeat in a unit; the last one is enough here.
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(UNIT)
    return unit["Service"]


def test_stopping_may_take_as_long_as_the_worker_drains():
    schema = json.loads(subprocess.run([QUASH, "schema", "config"], capture_output=True, check=True).stdout)
    drain = schema["$defs"]["WorkerConfig"]["properties"]["drain"]["default"]
    assert int(drain.removesuffix("s")) < int(settings()["TimeoutStopSec"].removesuffix("s"))


def test_a_wrong_configuration_ends_it_for_good(tmp_path):
    """The code on which the unit gives up is the one of a wrong configuration."""
    wrong = tmp_path / "quash.yaml"
    wrong.write_text("version: 2\n")
    environment = {"QUASH_CONFIG": str(wrong), "QUASH_LOG_FORMAT": "json"}
    command = [QUASH, *settings()["ExecStart"].split()[1:]]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == int(settings()["RestartPreventExitStatus"])
    assert set(environment) == set(re.findall(r"(\w+)=", settings()["Environment"]))
