"""Reads the URL of a broker, and says where it is without saying the password."""

from __future__ import annotations

import dataclasses
import ssl
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from .errors import ConfigurationError

#: The name of the stream, queue or subject when the URL says none; the worker's default as well.
DESTINATION = "quash.events"


@dataclasses.dataclass(frozen=True, eq=False)
class Kind:
    """A kind of broker: its URL schemes, the word for where events go, and its port."""

    name: str
    schemes: dict[str, bool]
    word: str
    port: int
    port_tls: int


REDIS = Kind("redis", {"redis": False, "rediss": True, "unix": False}, "stream", 6379, 6379)
AMQP = Kind("amqp", {"amqp": False, "amqps": True}, "queue", 5672, 5671)
NATS = Kind("nats", {"nats": False, "tls": True}, "subject", 4222, 4222)
KINDS = (REDIS, AMQP, NATS)

_FILES = ("ca_file", "cert_file", "key_file")


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a broker is, who asks, and where the events go. Printing it shows no secret."""

    kind: Kind
    host: str
    port: int
    #: The stream, queue or subject.
    destination: str
    #: Redis: the number of the database. AMQP: the virtual host.
    path: str
    username: str | None
    password: str | None = dataclasses.field(repr=False)
    tls: bool
    #: PEM files.
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = dataclasses.field(default=None, repr=False)

    def __str__(self) -> str:
        place = self.path if self.is_socket else f"{self.host}:{self.port}"
        return f"{self.kind.name} {place} {self.kind.word} {self.destination}"

    @property
    def is_socket(self) -> bool:
        """Whether it is a socket of this machine; its file is then the path."""
        return not self.host

    def ssl_context(self) -> ssl.SSLContext | None:
        """How to verify the broker and to be verified by it, for a URL with TLS."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context


def parse(url: str, destination: str | None = None) -> Address:
    """The address in a URL such as `redis://user:password@host:6379/0?stream=quash.events`.

    Raises:
        ConfigurationError: says what is wrong, never the URL itself.
    """
    parts = _split(url)
    kind = next((kind for kind in KINDS if parts.scheme in kind.schemes), None)
    if kind is None:
        known = ", ".join(f"{scheme}://" for kind in KINDS for scheme in kind.schemes)
        raise ConfigurationError(f"the broker's URL begins with {parts.scheme[:20]!r}, expected one of {known}")
    query = _query(kind, parts.query)
    tls = kind.schemes[parts.scheme]
    return Address(
        kind=kind,
        host="" if parts.scheme == "unix" else _host(parts.hostname),
        port=_port(parts.netloc, kind.port_tls if tls else kind.port),
        destination=destination or query.get(kind.word) or DESTINATION,
        path=_path(parts.scheme, parts.path),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tls,
        **{name: query[name] for name in _FILES if name in query},
    )


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ConfigurationError("the broker's URL is malformed") from None


def _host(name: str | None) -> str:
    if not name:
        raise ConfigurationError("the broker's URL names no host")
    return name


def _port(netloc: str, default: int) -> int:
    try:
        return urlsplit(f"//{netloc}").port or default
    except ValueError:
        raise ConfigurationError("the port in the broker's URL is no number up to 65535") from None


def _path(scheme: str, path: str) -> str:
    return unquote(path) if scheme == "unix" else unquote(path.removeprefix("/"))


def _query(kind: Kind, text: str) -> dict[str, str]:
    query = {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}
    known = {kind.word, *_FILES}
    unknown = sorted(set(query) - known)
    if unknown:
        raise ConfigurationError(
            f"the {kind.name} URL has the unknown option {unknown[0]!r}, known are {', '.join(sorted(known))}"
        )
    return query
