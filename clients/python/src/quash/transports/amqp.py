"""Publishes messages to an AMQP queue through the default exchange, persistent, mandatory and confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pika
from pika import exceptions
from pika.adapters.asyncio_connection import AsyncioConnection

from ..address import Address
from ..message import Message
from . import Lost, Refused

#: Seconds between signs of life; a broker that hangs is noticed after two.
HEARTBEAT = 30


class _Connection(AsyncioConnection):  # type: ignore[misc]
    """The driver's connection, which would write each of a message's three frames to the socket by itself."""

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        super()._output_marshaled_frames([b"".join(marshaled_frames)])


class AmqpLink:
    """One connection with one confirming channel, for all callers."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connection: Any = None
        self._channel: Any = None
        self._tag = 0
        #: What the broker has not confirmed, by delivery tag, in the order of publishing.
        self._waiting: dict[int, tuple[str, asyncio.Future[None]]] = {}
        #: Messages that came back; their confirm follows.
        self._returned: dict[str, str] = {}

    def is_open(self) -> bool:
        return self._channel is not None and bool(self._channel.is_open)

    async def open(self, parameters: pika.ConnectionParameters) -> None:
        self._connection = _Connection(
            parameters,
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._on_channel),
            on_open_error_callback=lambda _, error: self._end(error),
            on_close_callback=lambda _, error: self._end(error),
            custom_ioloop=asyncio.get_running_loop(),
        )
        try:
            await self._opened
        except BaseException:
            await self.close()
            raise

    async def send(self, messages: Sequence[Message]) -> None:
        confirms = [self._publish(message) for message in messages]
        errors: list[Lost | Refused] = []
        try:
            # One after the other: most come together, and then the rest needs no waiting.
            for confirm in confirms:
                try:
                    await confirm
                except (Lost, Refused) as error:
                    errors.append(error)
        except asyncio.CancelledError:
            for confirm in confirms:
                confirm.cancel()
            raise
        # The first speaks for the rest.
        if errors:
            raise errors[0]

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not (connection.is_closed or connection.is_closing):
            connection.close()

    def _publish(self, message: Message) -> asyncio.Future[None]:
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=2,
            message_id=message.id,
            app_id="quash-client",
            headers=dict(message.headers) or None,
        )
        try:
            self._channel.basic_publish("", self._queue, message.body, properties, mandatory=True)
        except exceptions.AMQPError as error:
            confirmed.set_exception(Lost(_words(error)))
            return confirmed
        self._tag += 1
        self._waiting[self._tag] = (message.id, confirmed)
        return confirmed

    def _on_channel(self, channel: Any) -> None:
        channel.add_on_close_callback(lambda _, error: self._end(error))
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=lambda _: self._ready(channel))

    def _ready(self, channel: Any) -> None:
        self._channel = channel
        if not self._opened.done():
            self._opened.set_result(None)

    def _on_return(self, _channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        self._returned[properties.message_id] = f"{method.reply_code} {method.reply_text}"

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        tags = [method.delivery_tag]
        if method.multiple:
            tags = [tag for tag in self._waiting if tag <= method.delivery_tag or not method.delivery_tag]
        for tag in tags:
            if tag in self._waiting:
                self._settle(*self._waiting.pop(tag), isinstance(method, pika.spec.Basic.Ack))

    def _settle(self, name: str, confirmed: asyncio.Future[None], taken: bool) -> None:
        returned = self._returned.pop(name, None)
        if confirmed.done():
            return
        if returned is not None:
            confirmed.set_exception(Refused(f"there is no such queue ({returned})", temporary=True))
        elif taken:
            confirmed.set_result(None)
        else:
            confirmed.set_exception(Refused("the broker did not take it, its queue may be full", temporary=True))

    def _end(self, error: BaseException) -> None:
        """The connection or its channel is over: nothing that waits will be confirmed."""
        refused = isinstance(error, exceptions.ProbableAuthenticationError | exceptions.ProbableAccessDeniedError)
        ended: Exception = Refused(_words(error), temporary=False) if refused else Lost(_words(error))
        if not self._opened.done():
            self._opened.set_exception(ended)
        waiting, self._waiting, self._channel = self._waiting, {}, None
        for _, confirmed in waiting.values():
            if not confirmed.done():
                confirmed.set_exception(ended)


async def connect(address: Address, seconds: float) -> AmqpLink:
    """Connects and asks for confirms. The queue is not declared: that is the worker's, who knows its settings."""
    link = AmqpLink(address.destination)
    await link.open(_parameters(address, seconds))
    return link


def _parameters(address: Address, seconds: float) -> pika.ConnectionParameters:
    context = address.ssl_context()
    return pika.ConnectionParameters(
        host=address.host,
        port=address.port,
        virtual_host=address.path or "/",
        credentials=pika.PlainCredentials(address.username or "guest", address.password or "guest"),
        heartbeat=HEARTBEAT,
        connection_attempts=1,
        socket_timeout=seconds,
        stack_timeout=seconds,
        ssl_options=pika.SSLOptions(context, address.host) if context else None,
        client_properties={"connection_name": "quash-client"},
    )


def _words(error: BaseException) -> str:
    """What went wrong, in the words of the innermost error: the driver wraps them, mostly without text."""
    seen: list[str] = []
    pending: list[Any] = [error]
    while pending:
        inner = pending.pop()
        if isinstance(inner, BaseException):
            pending.extend(reversed(inner.args))
            # Where the driver keeps the cause, if not among the arguments.
            pending.extend([*getattr(inner, "exceptions", ()), getattr(inner, "exception", None)])
            if isinstance(inner, OSError) or not inner.args:
                seen.append(str(inner) or type(inner).__name__)
        elif isinstance(inner, str) and inner:
            seen.append(inner)
    return seen[-1][:300] if seen else type(error).__name__
