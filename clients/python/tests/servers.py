"""Starts real servers on free ports, each in a folder of its own, that a test may stop and kill."""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
#: Long enough for a machine that compiles beside the tests.
PATIENCE = 60.0
#: In a new order each time, so that two processes at once hardly meet.
PORTS = iter(random.sample(range(12_288, 28_672), 16_384))


def free_port() -> int:
    """A port that nobody listens on and nobody else is given: connections take theirs from 32768 on."""
    for port in PORTS:
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def eventually(
    what: str, holds: Callable[[], object], seconds: float = PATIENCE, explain: Callable[[], str] = lambda: ""
) -> None:
    """Asks again and again, since others can only be asked, until it holds."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, f"not within {seconds} s: {what}\n{explain()}"
        time.sleep(0.02)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except OSError:
        return False
    return True


class Server:
    """A child process that listens on a port."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def start(self) -> None:
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                env={**os.environ, **self.environment()},
                user=self.user(),
            )
        eventually(f"{type(self).__name__} answers on port {self.port}", lambda: answers(self.port))

    def user(self) -> str | None:
        return None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stops it half-way, as a machine that hangs: connections stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        # A thread that runs on another processor may answer once more before it hears of it.
        eventually("every thread stands still", self._is_stopped)

    def _is_stopped(self) -> bool:
        assert self._process is not None
        threads = Path(f"/proc/{self._process.pid}/task").iterdir()
        # The state stands behind the name, which is in brackets and may hold anything.
        return all((thread / "stat").read_text().rpartition(") ")[2].startswith("T") for thread in threads)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


class Redis(Server):
    def command(self) -> list[str]:
        # As a queue must be: it has its entries again after it was killed.
        durable = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        return ["redis-server", "--port", str(self.port), "--dir", str(self.home), *durable]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


class Cache(Server):
    """A Redis as a cache is: what it holds may go."""

    def command(self) -> list[str]:
        return ["redis-server", "--port", str(self.port), "--dir", str(self.home), "--save", "", "--appendonly", "no"]

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"


class Cut:
    """Stands before a server, and cuts the connection in place of the answer to the first command with this word.

    The server has heard it; its client cannot know.
    """

    def __init__(self, port: int, word: bytes) -> None:
        self._to, self._word, self.is_done = port, word, threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far, cuts = socket.create_connection(("127.0.0.1", self._to)), threading.Event()
            threading.Thread(target=self._forward, args=(near, far, cuts), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(far, near, cuts), daemon=True).start()

    def _forward(self, near: socket.socket, far: socket.socket, cuts: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65_536):
                if self._word in data and not self.is_done.is_set():
                    self.is_done.set()
                    cuts.set()
                far.sendall(data)
        far.close()

    @staticmethod
    def _pass_on(far: socket.socket, near: socket.socket, cuts: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while (data := far.recv(65_536)) and not cuts.is_set():
                near.sendall(data)
            near.shutdown(socket.SHUT_RDWR)
        near.close()

    def close(self) -> None:
        self._listener.close()


class Nats(Server):
    def command(self) -> list[str]:
        (self.home / "nats.conf").write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{self.home}/store" }}\n'
        )
        return ["nats-server", "-c", str(self.home / "nats.conf")]

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"


class RabbitMq(Server):
    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._distribution_port = free_port()

    def command(self) -> list[str]:
        (self.home / "rabbitmq.conf").write_text("")
        (self.home / "enabled_plugins").write_text("[].")
        return [RABBITMQ]

    def environment(self) -> dict[str, str]:
        places = {
            "RABBITMQ_CONFIG_FILE": "rabbitmq",
            "RABBITMQ_ENABLED_PLUGINS_FILE": "enabled_plugins",
            "RABBITMQ_FEATURE_FLAGS_FILE": "feature_flags",
            "RABBITMQ_MNESIA_BASE": "data",
            "RABBITMQ_LOG_BASE": "log.d",
            "RABBITMQ_PID_FILE": "pid",
        }
        return {name: str(self.home / place) for name, place in places.items()} | {
            "HOME": str(self.home),
            "RABBITMQ_NODENAME": f"quash{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            # The script becomes the node then, so that a signal reaches it and not the script.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
        }

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"


class Postgres(Server):
    """A PostgreSQL cluster; user `postgres`, no password. Its data may go when the machine does."""

    def user(self) -> str | None:
        # It refuses to run as root.
        return "postgres" if os.geteuid() == 0 else None

    def prepare(self) -> None:
        account = self.user()
        if account:
            # pytest's folders are closed to others; this one lies beside them.
            shutil.chown(self.home, account, pwd.getpwnam(account).pw_gid)
        subprocess.run(
            [str(_postgres("initdb")), "-D", str(self.home / "data"), "-A", "trust", "-U", "postgres", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=self.home,
            user=account,
        )

    def command(self) -> list[str]:
        settings = ["fsync=off", "full_page_writes=off", "listen_addresses=127.0.0.1"]
        settings += [f"unix_socket_directories={self.home}"]
        return [str(_postgres("postgres")), "-D", str(self.home / "data"), "-p", str(self.port)] + [
            part for setting in settings for part in ("-c", setting)
        ]

    def kill(self) -> None:
        if self._process is not None:
            # An immediate shutdown also ends the server's children.
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None


def _postgres(program: str) -> Path:
    return max(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[-3]))
