"""Publishes messages to a JetStream subject and awaits the acknowledgement of each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from ..address import Address
from ..message import Message
from . import Lost, Refused

#: Longer than any publisher waits, so that its own deadline decides.
_FOREVER = 3600.0


class NatsLink:
    """One connection, for all callers."""

    def __init__(self, client: Client, subject: str) -> None:
        self._client = client
        self._jetstream = client.jetstream()
        self._subject = subject

    def is_open(self) -> bool:
        return bool(self._client.is_connected)

    async def send(self, messages: Sequence[Message]) -> None:
        await together([self._publish(message) for message in messages])

    async def _publish(self, message: Message) -> None:
        try:
            headers = {**dict(message.headers), "Nats-Msg-Id": message.id, "Content-Type": "application/json"}
            await self._jetstream.publish(self._subject, message.body, timeout=_FOREVER, headers=headers)
        except nats.js.errors.NoStreamResponseError:
            raise Refused("no JetStream stream takes this subject", temporary=True) from None
        except nats.js.errors.APIError as error:
            raise Refused(error.description or str(error), temporary=error.code != 400) from error
        except nats.errors.MaxPayloadError:
            raise Refused(f"the server takes no message of {len(message.body)} bytes", temporary=False) from None
        except (nats.errors.Error, OSError) as error:
            raise Lost(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        await self._client.close()


async def connect(address: Address, seconds: float) -> NatsLink:
    """Connects. The connection never comes back by itself: the next use makes another."""
    client = Client()
    is_connecting = True

    async def hear(error: Exception) -> None:
        # The client tries again for a while whatever it is told. Raising ends that, so that the caller hears the reason
        # while it still listens.
        if is_connecting:
            raise error

    try:
        await client.connect(
            servers=f"{'tls' if address.tls else 'nats'}://{address.host}:{address.port}",
            error_cb=hear,
            name="quash-client",
            allow_reconnect=False,
            connect_timeout=seconds,
            tls=address.ssl_context(),
            **_credentials(address),
        )
    except (nats.errors.Error, OSError, asyncio.TimeoutError) as error:
        await client.close()
        raise _failed(error) from error
    finally:
        is_connecting = False
    return NatsLink(client, address.destination)


async def together(sends: Sequence[Any]) -> None:
    """Waits for all, and raises the first error only when none is left running."""
    outcomes = await asyncio.gather(*sends, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


def _credentials(address: Address) -> dict[str, Any]:
    if address.username and address.password is None:
        return {"token": address.username}
    return {"user": address.username, "password": address.password} if address.username else {}


def _failed(error: Exception) -> Lost | Refused:
    text = str(error) or type(error).__name__
    if "authorization" in text.lower() or "authentication" in text.lower():
        return Refused(text, temporary=False)
    return Lost(text)
