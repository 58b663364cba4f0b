"""Redis clients from Celery's settings, always to the master; and what their errors mean in one plain line."""

from __future__ import annotations

import pkgutil
import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from umbel.errors import BrokerError
from umbel.sources.redis_url import Endpoint, RedisOptions

#: Text of an error, in lower case, and what it means with its remedy; the first that is found counts.
_MEANINGS: Final = (
    (("wrongpass", "invalid password", "invalid username"), "the user or password was refused. Correct the broker URL"),
    (
        ("noauth", "authentication required"),
        "a password is required. Put it into the broker URL: redis://:password@host",
    ),
    (("called without any password configured",), "the server has no password. Take it out of the broker URL"),
    (("noperm", "no permissions"), "the user lacks a right. Grant it by ACL SETUSER: its channels (&…) and SUBSCRIBE"),
    (("max number of clients",), "the server takes no more clients. Raise its maxclients or close some"),
    (("protected mode",), "the server is in protected mode. Set a password there or bind it to an address"),
    (("is loading",), "the server is loading its data. Waiting for it"),
    (
        ("unknown command 'sentinel'",),
        "that is no Sentinel. Name the Sentinels and their port (26379), or use redis://",
    ),
    (("db index is out of range",), "the server has no database of that number. Correct the broker URL"),
    (
        ("wrong_version_number", "wrong version number", "record layer failure"),
        "the server does not speak TLS there. Use redis://",
    ),
    (
        ("hostname mismatch",),
        "its certificate is for another host. Correct the host, or set ssl_check_hostname to false",
    ),
    (
        ("certificate verify failed",),
        "its certificate is not trusted. Set broker_ssl's ssl_ca_certs to its authority's file",
    ),
    (
        ("certificate required", "certificate_required"),
        "it wants a client certificate. Set ssl_certfile and ssl_keyfile",
    ),
)
#: The same for errors that are told by their type.
_SYSTEM_MEANINGS: Final[tuple[tuple[tuple[type[BaseException], ...], str], ...]] = (
    ((ConnectionRefusedError,), "connection refused. Is Redis running there?"),
    ((socket.gaierror, UnicodeError), "the host's name is not known. Correct the host in the broker URL"),
    ((FileNotFoundError,), "no such file ({file}). Correct the path, or start Redis"),
    ((PermissionError,), "permission denied. Let this user read and write the socket and the certificates"),
    (
        (TimeoutError, redis.TimeoutError),
        "no answer in {timeout:g} s. Is the host right, does Redis hang, does it speak TLS or not?",
    ),
    ((ssl.SSLError,), "TLS failed: {error}. Check broker_ssl"),
)


def locate(options: RedisOptions, turn: int = 0) -> Endpoint:
    """The server to connect to: what the Sentinels say is the master, or the next of the configured ones.

    `turn` counts the tries, so that each server gets its own. Raises redis-py's errors.
    """
    first = options.endpoints[0]
    if not options.master_name:
        return options.endpoints[turn % len(options.endpoints)]
    bounds = {"socket_timeout": options.timeout, "socket_connect_timeout": options.connect_timeout}
    sentinels = Sentinel(
        [(endpoint.host, endpoint.port) for endpoint in options.endpoints],
        min_other_sentinels=options.min_other_sentinels,
        sentinel_kwargs={"retry": Retry(NoBackoff(), 0), **bounds, **options.sentinel_kwargs},
    )
    try:
        host, port = sentinels.discover_master(options.master_name)
    finally:
        sentinels.close()
    return Endpoint(host, port, "", first.username, first.password, first.db)


def connect(options: RedisOptions, name: str, turn: int = 0) -> redis.Redis:
    """A client to the master that has answered; the caller closes it. Raises what is in `ERRORS`."""
    try:
        client = _client(options, locate(options, turn), name)
    except TypeError as error:
        raise BrokerError(f"sentinel_kwargs holds what redis-py does not know: {error}") from error
    try:
        client.ping()
    except TypeError as error:
        client.close()
        raise BrokerError(f"broker_ssl holds what redis-py does not know: {error}") from error
    except BaseException:
        client.close()
        raise
    return client


def _client(options: RedisOptions, endpoint: Endpoint, name: str) -> redis.Redis:
    where: dict[str, Any] = {"unix_socket_path": endpoint.path} if endpoint.path else {}
    if options.tls is not None and not endpoint.path:
        where |= {"ssl": True, **options.tls}
    if options.credential_provider:
        where["credential_provider"] = _credentials(options.credential_provider)
    else:
        where |= {"username": endpoint.username, "password": endpoint.password}
    return redis.Redis(
        host=endpoint.host,
        port=endpoint.port,
        db=options.db,
        client_name=name,
        # Replies of a subscribed RESP2 connection are plain lists, messages included.
        protocol=2,
        socket_timeout=options.timeout,
        socket_connect_timeout=options.connect_timeout,
        socket_keepalive=True,
        # Whoever calls decides when to try again.
        retry=Retry(NoBackoff(), 0),
        **where,
    )


def _credentials(name: str) -> Any:
    try:
        return pkgutil.resolve_name(name)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise BrokerError(f"credential_provider {name!r} cannot be made: {error}") from error


def explain(error: BaseException, options: RedisOptions) -> str:
    """One line for people: what failed, where, and what to do about it; never a password."""
    return f"cannot use {options.shown}: {_meaning(error, options)}"


def _meaning(error: BaseException, options: RedisOptions) -> str:
    if isinstance(error, MasterNotFoundError):
        asked = ", ".join(map(str, options.endpoints))
        return (
            f"no Sentinel ({asked}) knows a healthy master {options.master_name!r}. "
            "Check master_name, the Sentinels' addresses and sentinel_kwargs' password"
        )
    chain = list(_chain(error))
    text = " ".join(str(link) for link in chain).lower()
    for marks, meaning in _MEANINGS:
        if any(mark in text for mark in marks):
            return meaning
    for link in chain:
        if meaning := _system_meaning(link, options):
            return meaning
    if "closed by server" in text or "connection reset" in text:
        return "the server closed the connection at once. Does it want TLS (rediss://)?"
    return " ".join(str(error).split())[:300] or type(error).__name__


def _system_meaning(error: BaseException, options: RedisOptions) -> str:
    for kinds, meaning in _SYSTEM_MEANINGS:
        if isinstance(error, kinds):
            return meaning.format(
                error=getattr(error, "reason", "") or error,
                file=getattr(error, "filename", "") or options.endpoints[0],
                timeout=options.timeout,
            )
    return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, at most 8 deep."""
    link: BaseException | None = error
    for _ in range(8):
        if link is None:
            return
        yield link
        link = link.__cause__ or link.__context__


#: What connecting and talking to Redis may raise.
ERRORS: Final = (BrokerError, RedisError, OSError, UnicodeError)
