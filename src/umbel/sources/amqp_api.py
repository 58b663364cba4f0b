"""RabbitMQ's management API, as far as Umbel asks it: what became of the messages of one queue."""

from __future__ import annotations

import http.client
import ssl
from base64 import b64encode
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

import msgspec
import pika

from umbel.errors import BrokerError
from umbel.settings import Settings

#: Seconds for one question.
TIMEOUT: Final = 3.0
#: Bytes of an answer that are read.
ANSWER: Final = 16 << 20
#: Value of --broker-api that keeps Umbel from asking.
OFF: Final = "off"
PORT: Final = 15672
TLS_PORT: Final = 15671
REMEDY: Final = (
    "enable it (rabbitmq-plugins enable rabbitmq_management), let the user read it (rabbitmqctl set_user_tags USER"
    " management) and give --broker-api where it is not on the broker's host at port 15672"
)


class Counts(NamedTuple):
    """Messages of a queue since the broker counts: it begins anew as it restarts."""

    published: int
    acknowledged: int
    #: In the queue now, delivered to somebody or not.
    held: int


#: While nothing was counted: Erlang writes an empty object as an empty list.
_Nothing = list[int]


class _Stats(msgspec.Struct, frozen=True):
    publish: int = 0
    ack: int = 0
    get_no_ack: int = 0
    deliver_no_ack: int = 0


class _Queue(msgspec.Struct):
    messages: int | None = None
    message_stats: _Stats | _Nothing = _Stats()


class ManagementApi:
    """Asks with the user and password of the broker's URL, unless --broker-api has others."""

    def __init__(self, settings: Settings, broker: pika.ConnectionParameters) -> None:
        tls = broker.ssl_options is not None
        self._off = settings.broker_api == OFF
        given = "" if self._off else settings.broker_api
        given = given or f"http{'s' if tls else ''}://{broker.host}:{TLS_PORT if tls else PORT}/api"
        self._url = urlsplit(given)
        self._context = broker.ssl_options.context if tls else None
        user, password = self._url.username, self._url.password
        if user is None:
            user, password = quote(broker.credentials.username, ""), quote(broker.credentials.password, "")
        plain = f"{unquote(user)}:{unquote(password or '')}"
        self._headers = {"Authorization": f"Basic {b64encode(plain.encode()).decode()}"}
        self._vhost = quote(broker.virtual_host, "")
        #: Where it is, without user and password.
        self.where = f"{self._url.scheme}://{self._url.hostname}:{self._url.port or PORT}"

    def counts(self, queue: str) -> Counts | None:
        """Of one queue; None where it is not there or was not counted yet. Raises `BrokerError` with the remedy."""
        columns = "messages,message_stats"
        raw = self.get(f"queues/{{vhost}}/{quote(queue, '')}?columns={columns}")
        if raw is None:
            return None
        try:
            found: _Queue | _Nothing = msgspec.json.decode(raw, type=_Queue | _Nothing)
        except msgspec.MsgspecError as error:
            raise BrokerError(f"{self.where} answers what the management API does not: {error}; {REMEDY}") from error
        if isinstance(found, list) or found.messages is None:
            return None
        stats = found.message_stats if isinstance(found.message_stats, _Stats) else _Stats()
        return Counts(stats.publish, stats.ack + stats.get_no_ack + stats.deliver_no_ack, found.messages)

    def get(self, path: str) -> bytes | None:
        """The body of an answer, `{vhost}` in the path put in; None for what is not there. Raises `BrokerError`."""
        if self._off:
            raise BrokerError("the management API is not asked, as --broker-api off says")
        base = self._url.path.rstrip("/") or "/api"
        try:
            connection = self._connection()
            try:
                connection.request("GET", f"{base}/{path.replace('{vhost}', self._vhost)}", headers=self._headers)
                answer = connection.getresponse()
                body = answer.read(ANSWER)
                cut = len(body) == ANSWER and answer.read(1) != b""
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise BrokerError(f"the management API at {self.where} does not answer ({error}); {REMEDY}") from error
        if cut:
            raise BrokerError(f"the management API at {self.where} answers more than {ANSWER:,} bytes")
        if answer.status == http.HTTPStatus.NOT_FOUND:
            return None
        if answer.status != http.HTTPStatus.OK:
            raise BrokerError(f"the management API at {self.where} answers {answer.status} {answer.reason}; {REMEDY}")
        return body

    def _connection(self) -> http.client.HTTPConnection:
        host = self._url.hostname or "localhost"
        if self._url.scheme == "https":
            context = self._context or ssl.create_default_context()
            return http.client.HTTPSConnection(host, self._url.port or TLS_PORT, timeout=TIMEOUT, context=context)
        return http.client.HTTPConnection(host, self._url.port or PORT, timeout=TIMEOUT)
