"""Runs buildah, podman and podman-compose without a daemon, on storage of their own; nothing is fetched."""

import contextlib
import os
import pathlib
import subprocess
import sys
import time

from servers import PATIENCE, eventually

ROOT = pathlib.Path(__file__).resolve().parents[2]

STORAGE = """
[storage]
driver = "vfs"
graphroot = "{home}/storage"
runroot = "{home}/run"
"""
# Where there is no systemd: cgroups by files, events and logs not in a journal. crun refuses hybrid cgroups, runc does
# not; and a machine's limits may be below what podman asks for by default.
CONTAINERS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[network]
network_backend = "netavark"
network_config_dir = "{home}/networks"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
tmp_dir = "{home}/libpod"
"""
# No registry at all: an image that is not here is an error. Short names mean those of the Docker Hub.
REGISTRIES = """
unqualified-search-registries = ["docker.io"]
short-name-mode = "permissive"
[[registry]]
prefix = "*.io"
blocked = true
"""


class Engine:
    """The commands, with everything that they keep in one folder."""

    def __init__(self, home):
        self.home = home
        files = {"storage": STORAGE, "containers": CONTAINERS, "registries": REGISTRIES}
        for name, text in files.items():
            (home / f"{name}.conf").write_text(text.format(home=home) if name != "registries" else text)
        self.environment = os.environ | {
            "CONTAINERS_STORAGE_CONF": str(home / "storage.conf"),
            "CONTAINERS_CONF": str(home / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(home / "registries.conf"),
            "BUILDAH_ISOLATION": "chroot",
            "TMPDIR": str(home),
        }

    def run(self, *command, check=True, **options):
        """Runs a command to its end; what it says stands in the error when it fails."""
        options = {"capture_output": True, "text": True, "timeout": 5 * PATIENCE, **options}
        ran = subprocess.run([str(part) for part in command], env=self.environment, **options)
        said = f"{' '.join(map(str, command))}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
        assert not check or ran.returncode == 0, said
        return ran

    def podman(self, *command, **options):
        return self.run("podman", *command, **options)

    def build(self, tag, file, context, *arguments):
        """Builds an image from a Dockerfile, over images that are here."""
        options = ["--pull-never", "--format", "docker", "--tag", tag, "--file", file]
        return self.run("buildah", "bud", *options, *arguments, context)

    def start(self, image, *arguments, options=()):
        """Starts a container as an operator who trusts nobody would; what runs in it."""
        started = self.podman("run", "--detach", "--pull", "never", *HARDENED, *options, image, *arguments)
        return Container(self, started.stdout.strip().splitlines()[-1])

    def close(self):
        """Ends every container, and removes the control groups that they leave."""
        self.podman("rm", "--all", "--force", "--time", "0", check=False)
        end = time.monotonic() + 5
        # What watched a container ends a moment after it. Where somebody else's containers run, theirs stay.
        while groups := sorted(pathlib.Path("/sys/fs/cgroup").glob("**/libpod_parent/**/"), reverse=True):
            for group in groups:
                with contextlib.suppress(OSError):
                    group.rmdir()
            if time.monotonic() > end:
                break


# Nothing may be written, no capability is left, and none can be gained.
HARDENED = (
    "--network",
    "host",
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=ALL",
    "--security-opt",
    "no-new-privileges",
)


class Container:
    """A container that was started."""

    def __init__(self, engine, name):
        self.engine, self.name = engine, name

    def inspect(self, template):
        return self.engine.podman("inspect", "--format", template, self.name).stdout.strip()

    def execute(self, *command, check=True):
        """Runs a command beside what runs in it."""
        return self.engine.podman("exec", self.name, *command, check=check)

    def signal(self, name):
        self.engine.podman("kill", "--signal", name, self.name)

    def healthy(self):
        """What its health check says now; no systemd is here, whose timers would ask."""
        return self.engine.podman("healthcheck", "run", self.name, check=False).returncode == 0

    def runs(self):
        return self.inspect("{{.State.Running}}") == "true"

    def logs(self):
        said = self.engine.podman("logs", self.name)
        return said.stdout + said.stderr

    def pid(self):
        """Of its first process, as this machine sees it."""
        return int(self.inspect("{{.State.Pid}}"))

    def exit_code(self):
        """How it ended; waits until it did."""
        eventually("the container ends", lambda: not self.runs(), explain=self.logs)
        return int(self.inspect("{{.State.ExitCode}}"))

    def remove(self):
        self.engine.podman("rm", "--force", "--time", "0", self.name)


class Project:
    """A compose file, and what podman-compose makes of it."""

    def __init__(self, engine, file, name):
        self.engine, self.file, self.name = engine, file, name

    def compose(self, *arguments, profile=(), options=(), **more):
        command = pathlib.Path(sys.executable).with_name("podman-compose")
        profiles = [f"--profile={name}" for name in profile]
        return self.engine.run(command, "--file", self.file, *profiles, *options, *arguments, **more)

    def container(self, service, number=1):
        return Container(self.engine, f"{self.name}_{service}_{number}")
