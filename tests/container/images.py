"""Makes stand-ins for public images out of what Debian's packages have installed here, under their real names."""

import pathlib
import shutil
import subprocess

# As in the Dockerfile, without the digests, which stand-ins cannot have.
RUST = "docker.io/library/rust:1.95.0-slim-bookworm"
RUNTIME = "gcr.io/distroless/cc-debian12:nonroot"

# Refuses any other command than the one that was written for the real one, and a context that holds what it should not.
CARGO = """#!/bin/sh
[ "$*" = "build --profile dist --locked --package quash-cli" ] || { echo "no stand-in for cargo $*"; exit 1; }
for kept in Cargo.toml Cargo.lock crates/cli/Cargo.toml; do
    [ -e $kept ] || { echo "not in the context: $kept"; exit 1; }
done
for left in .git docs rust-toolchain.toml target/debug; do
    [ ! -e $left ] || { echo "in the context: $left"; exit 1; }
done
mkdir -p target/dist && cp /usr/local/lib/quash target/dist/quash
"""

# As it is compiled in the real image.
REDIS = """#!/bin/sh
exec /usr/lib/redis/redis-server "$@" --protected-mode no
"""

PASSWD = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"


def runtime(engine):
    """What gcr.io/distroless/cc-debian12:nonroot holds: glibc, libgcc, names of services, authorities, an account."""
    root = Root(engine.home / "runtime")
    root.packages("base-files", "libc6", "libgcc-s1", "netbase")
    authorities = sorted(pathlib.Path("/usr/share/ca-certificates").glob("**/*.crt"))
    root.write("etc/ssl/certs/ca-certificates.crt", "".join(one.read_text() for one in authorities))
    root.write("etc/passwd", PASSWD)
    root.write("etc/group", "root:x:0:\nnonroot:x:65532:\n")
    root.folder("tmp", 0o1777)
    root.image(
        engine, RUNTIME, "USER 65532", "ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt", "WORKDIR /home/nonroot"
    )


def rust(engine, binary):
    """A shell, and a cargo that hands out the binary that was built already, without what a debugger needs."""
    root = Root(engine.home / "rust")
    root.busybox("sh", "cp", "mkdir", "test", "[")
    root.write("usr/local/bin/cargo", CARGO, 0o755)
    root.folder("usr/local/lib")
    subprocess.run(["strip", "-o", root.path / "usr/local/lib/quash", binary], check=True)
    root.image(engine, RUST, "ENV PATH=/usr/local/bin:/bin")


def redis(engine, name):
    """A Redis and its command line; as the real image, it lets anybody in who can reach it."""
    root = Root(engine.home / "redis")
    root.programs("/usr/bin/redis-server", "/usr/bin/redis-cli", to="usr/lib/redis")
    root.busybox("sh")
    root.write("usr/bin/redis-server", REDIS, 0o755)
    (root.path / "usr/bin/redis-cli").symlink_to("../lib/redis/redis-cli")
    root.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    root.image(engine, name, "WORKDIR /data", "VOLUME /data", 'CMD ["redis-server"]')


def prometheus(engine, name):
    """A Prometheus, called as the real image calls it."""
    root = Root(engine.home / "prometheus")
    root.programs("/usr/bin/prometheus", "/usr/bin/promtool", to="bin")
    root.busybox("sh", "wget")
    root.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n")
    root.folder("prometheus", 0o777)
    command = '["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]'
    root.image(engine, name, "USER nobody", "WORKDIR /prometheus", 'ENTRYPOINT ["/bin/prometheus"]', f"CMD {command}")


def nats(engine, name):
    """A NATS server, called as the real image calls it."""
    root = Root(engine.home / "nats")
    root.programs("/usr/sbin/nats-server", to="usr/local/bin")
    root.busybox("sh", "wget")
    root.folder("data")
    root.write("etc/nats/nats-server.conf", "")
    root.image(engine, name, 'ENTRYPOINT ["nats-server"]', 'CMD ["--config", "/etc/nats/nats-server.conf"]')


def rabbitmq(engine, name):
    """A RabbitMQ with its management, under the account of its own."""
    root = Root(engine.home / "rabbitmq")
    root.packages("rabbitmq-server", *erlang())
    root.loaded()
    root.busybox()
    root.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nrabbitmq:x:999:999::/var/lib/rabbitmq:/bin/sh\n")
    root.write("etc/group", "root:x:0:\nrabbitmq:x:999:\n")
    root.write("etc/rabbitmq/enabled_plugins", "[rabbitmq_management].\n")
    root.write("etc/rabbitmq/rabbitmq.conf", "loopback_users.guest = false\n")
    for folder in ("var/lib/rabbitmq", "var/log/rabbitmq", "tmp"):
        root.folder(folder, 0o1777)
    # Debian's commands change the account; the image has its own.
    for command in ("rabbitmq-server", "rabbitmq-diagnostics"):
        (root.path / "usr/sbin" / command).unlink()
        root.write(f"usr/sbin/{command}", f'#!/bin/sh\nexec /usr/lib/rabbitmq/bin/{command} "$@"\n', 0o755)
    environment = "ENV LANG=C.UTF-8 HOME=/var/lib/rabbitmq RABBITMQ_LOGS=-"
    root.image(engine, name, environment, "VOLUME /var/lib/rabbitmq", 'CMD ["rabbitmq-server"]')


def erlang():
    listed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\\n", "erlang-*"], capture_output=True, text=True
    )
    return [line.split()[1] for line in listed.stdout.splitlines() if line.startswith("ii")]


class Root:
    """The files of an image that is being made, laid out as Debian does."""

    def __init__(self, path):
        self.path = path
        for folder in ("bin", "sbin", "lib", "lib64"):
            (path / "usr" / folder).mkdir(parents=True)
            (path / folder).symlink_to(f"usr/{folder}")

    def packages(self, *names):
        """All files of these packages, but for their documentation."""
        listed = subprocess.run(["dpkg", "-L", *names], check=True, capture_output=True, text=True).stdout.splitlines()
        for source in map(pathlib.Path, listed):
            if (source.is_symlink() or source.is_file()) and not source.is_relative_to("/usr/share/doc"):
                self.copy(source)

    def programs(self, *sources, to=None):
        """These programs, with the libraries that they load."""
        for source in map(pathlib.Path, sources):
            self.copy(source, to, follow=True)
            self.libraries(source)

    def libraries(self, program):
        loaded = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
        for word in loaded.split():
            if word.startswith("/"):
                self.copy(pathlib.Path(word), follow=True)

    def loaded(self):
        """The libraries that what is here loads."""
        for path in [path for path in self.path.rglob("*") if path.is_file() and not path.is_symlink()]:
            if path.open("rb").read(4) == b"\x7fELF":
                self.libraries(pathlib.Path("/") / path.relative_to(self.path))

    def busybox(self, *names):
        """A static shell and tools, under these names; under all names that it knows when none is said."""
        self.copy(pathlib.Path("/bin/busybox"), "usr/bin")
        listed = subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout.split()
        for name in names or set(listed) - {"busybox"}:
            (self.path / "usr/bin" / name).symlink_to("busybox")

    def copy(self, source, to=None, follow=False):
        target = self.path / (pathlib.Path(to) / source.name if to else source.relative_to("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copy2(source, target, follow_symlinks=follow)

    def write(self, name, text, mode=0o644):
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def folder(self, name, mode=0o755):
        (self.path / name).mkdir(parents=True, exist_ok=True)
        (self.path / name).chmod(mode)

    def image(self, engine, name, *instructions):
        """Makes the image; its files are in one layer."""
        context = self.path.with_suffix(".context")
        context.mkdir()
        subprocess.run(["tar", "-C", self.path, "-cf", context / "root.tar", "."], check=True)
        (context / "Dockerfile").write_text("\n".join(["FROM scratch", "ADD root.tar /", *instructions, ""]))
        engine.build(name, context / "Dockerfile", context)
        shutil.rmtree(context)
        shutil.rmtree(self.path)
