"""One subscribed connection: bytes from the socket to whole messages, as fast as the socket gives them."""

from __future__ import annotations

import logging
import select
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import hiredis
import redis

from umbel.clock import Clock
from umbel.errors import BrokerError
from umbel.sources.redis_client import connect
from umbel.sources.redis_url import RedisOptions

log = logging.getLogger(__name__)

#: How the connection is called in CLIENT LIST.
CLIENT_NAME: Final = "umbel-receive"
#: Bytes taken from the socket at once.
CHUNK_BYTES: Final = 64 * 1024
#: Bytes given on at once.
READ_BYTES: Final = 512 * 1024
#: Bytes held unparsed in a burst: emptying the socket, so that the server need not hold them, comes before all else.
AHEAD_BYTES: Final = 96 * 1024 * 1024
#: Bytes given to the parser at once: it moves what is left of them after each message.
SLICE_BYTES: Final = 16 * 1024
#: Bytes of one message; Redis itself cuts subscribers off at 32 MB unless told otherwise.
MESSAGE_BYTES: Final = 64 * 1024 * 1024
#: Bytes the kernel should hold for us.
SOCKET_BYTES: Final = 8 * 1024 * 1024
#: Seconds of silence after which the server is asked, and seconds that its answer may take.
PING_AFTER: Final = 4.0
PONG_WITHIN: Final = 9.0

_PING: Final = b"*1\r\n$4\r\nPING\r\n"
_NOTHING: Final = object()


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What tells a restarted server, and a cut-off, from a broken line; zeros where the server does not say."""

    run_id: str = ""
    #: Largest output buffer of any client lately, bytes.
    peak_output: int = 0
    #: Clients cut off for their output buffer since the server's start, None where it is not counted.
    cut_off: int | None = None
    #: Output buffer limits of subscribers: bytes at once, and bytes for too long; 0 for none.
    hard_limit: int = 0
    soft_limit: int = 0

    @classmethod
    def ask(cls, client: redis.Redis) -> ServerFacts:
        """Ask the server; what its access rules forbid stays unknown."""
        try:
            server: Any = client.info("server")
            clients: Any = client.info("clients")
            stats: Any = client.info("stats")
            cut_off = stats.get("client_output_buffer_limit_disconnections")
            hard, soft = _pubsub_limits(client)
        except redis.ResponseError as error:
            log.debug("the server does not tell about itself: %s", error)
            return cls()
        return cls(
            run_id=str(server.get("run_id", "")),
            peak_output=int(clients.get("client_recent_max_output_buffer", 0)),
            cut_off=None if cut_off is None else int(cut_off),
            hard_limit=hard,
            soft_limit=soft,
        )


def _pubsub_limits(client: redis.Redis) -> tuple[int, int]:
    """Redis's defaults where CONFIG is forbidden, as at most providers."""
    try:
        found: Any = client.config_get("client-output-buffer-limit")
    except redis.ResponseError as error:
        log.debug("CONFIG GET is refused: %s", error)
        return 32 << 20, 8 << 20
    words = str(found.get("client-output-buffer-limit", "")).split()
    at = words.index("pubsub")
    return int(words[at + 1]), int(words[at + 2])


class Session:
    """Connects and subscribes when made; raises what is in `redis_client.ERRORS`, here and in `read`."""

    def __init__(self, options: RedisOptions, exchange: str, clock: Clock, turn: int = 0) -> None:
        self._clock = clock
        #: For other commands; another connection than the subscribed one.
        self.client = connect(options, f"{CLIENT_NAME}-watch", turn)
        self._connection: Any = None
        try:
            self.facts = ServerFacts.ask(self.client)
            self._open(options)
            self._subscribe(options, exchange)
        except BaseException:
            self.close()
            raise
        #: Wall time since which every message reaches us.
        self.subscribed_at = clock.now()

    def _open(self, options: RedisOptions) -> None:
        pool = self.client.connection_pool
        self._connection = pool.make_connection()
        self._connection.client_name = CLIENT_NAME
        self._connection.connect()
        self._connection.send_command("CLIENT", "ID")
        #: What CLIENT LIST calls us.
        self.client_id = int(self._connection.read_response())
        #: Host and port of the server, as far as it has them.
        self.address = (getattr(self._connection, "host", ""), getattr(self._connection, "port", 0))
        # redis-py has done the handshake; from here on its parser would cost more than all the rest.
        self._socket: socket.socket = self._connection._sock  # noqa: SLF001
        _widen(self._socket)
        self._socket.setblocking(False)
        self._encrypted = isinstance(self._socket, ssl.SSLSocket)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._chunks: deque[bytes] = deque()
        #: Bytes in the chunks.
        self.held = 0
        #: What ended the connection, raised once all that came before it was given on.
        self._end: Exception | None = None
        self._reader = hiredis.Reader(protocolError=BrokerError, notEnoughData=_NOTHING)
        self._reader.setmaxbuf(READ_BYTES)
        #: Bytes of a message that has not come whole yet, an upper bound.
        self._partial = 0
        self._early: list[bytes] = []
        self._confirmed = 0
        self._timeout = options.timeout
        self._heard = self._clock.monotonic()
        #: When a PING was sent that has not been answered; None: there is none.
        self._asked: float | None = None

    def _subscribe(self, options: RedisOptions, exchange: str) -> None:
        channels = options.channels(exchange)
        self._connection.send_command("PSUBSCRIBE", *channels.patterns)
        self._connection.send_command("SUBSCRIBE", *channels.exact)
        wanted = len(channels.patterns) + len(channels.exact)
        deadline = self._clock.monotonic() + self._timeout
        while self._confirmed < wanted:
            self._early += self.read(0.1)
            if self._clock.monotonic() > deadline:
                raise BrokerError(f"no answer to SUBSCRIBE in {self._timeout:g} s")

    def read(self, timeout: float) -> list[bytes]:
        """Whole messages, in order; none after `timeout` seconds without any. Notices a server that fell silent."""
        messages, self._early = self._early, []
        came = self._end is not None or self._fill()
        if not (came or self.held or messages):
            came = bool(self._poll.poll(timeout * 1000)) and self._fill()
            if not came:
                self._tend()
        taken = 0
        while self._chunks and taken < READ_BYTES:
            chunk = self._chunks.popleft()
            taken += len(chunk)
            self._parse(chunk, messages)
        self.held -= taken
        if self._end is not None and not taken and not messages:
            raise self._end
        return messages

    def _fill(self) -> bool:
        """Empty the socket as far as `AHEAD_BYTES` allow; gives whether anything came."""
        receive, came = self._socket.recv, False
        while self.held < AHEAD_BYTES:
            try:
                chunk = receive(CHUNK_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except OSError as error:
                self._end = error
                break
            if not chunk:
                self._end = BrokerError("the server closed the connection")
                break
            came = True
            self._chunks.append(chunk)
            self.held += len(chunk)
            # A plain socket gave all it had; TLS gives one record at a time.
            if len(chunk) < CHUNK_BYTES and not self._encrypted:
                break
        if came:
            self._heard, self._asked = self._clock.monotonic(), None
        return came

    def _parse(self, chunk: bytes, messages: list[bytes]) -> None:
        """Add the messages that end in this chunk."""
        feed, gets, nothing = self._reader.feed, self._reader.gets, _NOTHING
        for start in range(0, len(chunk), SLICE_BYTES):
            size = min(SLICE_BYTES, len(chunk) - start)
            feed(chunk, start, size)
            self._partial += size
            while (reply := gets()) is not nothing:
                self._partial = size
                if type(reply) is list and reply[0] == b"pmessage":
                    messages.append(reply[3])
                elif type(reply) is list and reply[0] == b"message":
                    messages.append(reply[2])
                else:
                    self._control(reply)
        if self._partial > MESSAGE_BYTES:
            raise BrokerError(f"a message of more than {MESSAGE_BYTES >> 20} MiB was not taken")

    def _control(self, reply: Any) -> None:
        if isinstance(reply, Exception):
            raise BrokerError(str(reply))
        if type(reply) is list and reply[0] in (b"subscribe", b"psubscribe"):
            self._confirmed += 1

    def _tend(self) -> None:
        """Ask a silent server whether it is there; a half-open connection shows no other sign."""
        now = self._clock.monotonic()
        if self._asked is not None:
            # Counted from the question: while we were busy ourselves, its silence means nothing.
            if now - self._asked > PONG_WITHIN:
                raise BrokerError(f"the server has said nothing for {now - self._heard:.0f} s, not even to PING")
        elif now - self._heard > PING_AFTER:
            self._asked = now
            try:
                self._socket.send(_PING)
            except (BlockingIOError, ssl.SSLWantWriteError) as error:
                log.debug("PING could not be sent just now: %s", error)

    @property
    def silent_for(self) -> float:
        """Seconds since the server was last heard."""
        return self._clock.monotonic() - self._heard

    def output_buffer(self) -> int | None:
        """Bytes that the server holds for us because we have not read them; None where it has given us up already.

        Raises redis-py's errors.
        """
        clients: Any = self.client.client_list(client_id=[str(self.client_id)])
        return int(clients[0].get("omem", 0)) if clients else None

    def close(self) -> None:
        """Let go of both connections; any number of times."""
        if self._connection is not None:
            self._connection.disconnect()
        self.client.close()


def _widen(sock: socket.socket) -> None:
    """Let the kernel hold more for us, where its limits give more than it would take by itself."""
    if sock.family == socket.AF_UNIX:
        return
    try:
        by_itself = int(Path("/proc/sys/net/ipv4/tcp_rmem").read_text().split()[2])
        allowed = int(Path("/proc/sys/net/core/rmem_max").read_text())
    except (OSError, ValueError, IndexError) as error:
        log.debug("the kernel's socket limits are not known: %s", error)
        by_itself, allowed = 0, SOCKET_BYTES
    if min(allowed, SOCKET_BYTES) > by_itself:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
