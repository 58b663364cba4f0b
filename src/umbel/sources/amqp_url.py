"""From Celery's broker settings to pika's parameters, and from pika's errors to one plain line with its remedy."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

import pika
from pika import exceptions
from pika.adapters.utils import connection_workflow as workflow

from umbel.errors import BrokerError
from umbel.settings import Settings

#: Seconds between heartbeats at most; a half-open connection is found after 15 to 30 of them.
HEARTBEAT: Final = 10
#: Seconds for the socket alone, and for TLS and AMQP on top of it.
CONNECT_TIMEOUT: Final = 5.0
STACK_TIMEOUT: Final = 10.0
#: The broker's reply code as it shuts down.
CONNECTION_FORCED: Final = 320
#: What connecting and talking to the broker may raise; pika wraps some failures of the set-up in classes of their own.
FAILURES: Final = (exceptions.AMQPError, workflow.AMQPConnectorException, OSError)
SCHEMES: Final = ("amqp", "amqps", "pyamqp", "librabbitmq", "rabbitmq")


def parameters(settings: Settings, purpose: str = "umbel collect") -> list[pika.ConnectionParameters]:
    """One set of parameters for each URL of the broker (several are joined by ';'), the first to be tried first.

    `purpose` names the connection in RabbitMQ's own pages. Raises `BrokerError` for an address or a certificate that
    cannot be used.
    """
    return [_one(url.strip(), settings, purpose) for url in settings.broker.split(";") if url.strip()]


def _one(url: str, settings: Settings, purpose: str) -> pika.ConnectionParameters:
    try:
        parts = urlsplit(url if "://" in url else f"amqp://{url}")
        port = parts.port
    except ValueError as error:
        raise BrokerError(
            f"the broker's address cannot be read: {error}. Write amqp://user:password@host:port/vhost"
        ) from None
    if parts.scheme not in SCHEMES:
        raise BrokerError(f"{parts.scheme}:// is not RabbitMQ's: write amqp:// or amqps://")
    tls = parts.scheme == "amqps" or bool(settings.broker_ssl)
    host = parts.hostname or "localhost"
    # The first slash ends the host; "amqp://host" and "amqp://host/" mean the virtual host "/", as in Celery.
    vhost = unquote(parts.path[1:]) or "/"
    return pika.ConnectionParameters(
        host=host,
        port=port or (5671 if tls else 5672),
        virtual_host=vhost,
        credentials=_credentials(parts),
        heartbeat=HEARTBEAT,
        ssl_options=_tls(settings.broker_ssl, host) if tls else None,
        socket_timeout=CONNECT_TIMEOUT,
        stack_timeout=STACK_TIMEOUT,
        client_properties={"connection_name": purpose},
        tcp_options={"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3},
    )


def _credentials(parts: SplitResult) -> pika.PlainCredentials:
    return pika.PlainCredentials(unquote(parts.username or "guest"), unquote(parts.password or "guest"))


def _tls(options: Mapping[str, Any], host: str) -> pika.SSLOptions:
    """Celery's broker_use_ssl as a context; certificates are verified unless `cert_reqs` says otherwise."""
    try:
        context = ssl.create_default_context(cafile=options.get("ca_certs"))
        if options.get("certfile"):
            context.load_cert_chain(options["certfile"], options.get("keyfile"))
        if options.get("ciphers"):
            context.set_ciphers(options["ciphers"])
    except (OSError, TypeError, ssl.SSLError) as error:
        raise BrokerError(f"broker_ssl: the certificates cannot be used: {error}") from error
    required = _cert_reqs(options.get("cert_reqs", ssl.CERT_REQUIRED))
    if required is not ssl.CERT_REQUIRED or options.get("check_hostname") is False:
        context.check_hostname = False
    context.verify_mode = required
    return pika.SSLOptions(context, options.get("server_hostname") or host)


def _cert_reqs(value: object) -> ssl.VerifyMode:
    """`ssl.CERT_REQUIRED` from a number, or a text such as `CERT_REQUIRED` or `required`."""
    names = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
    try:
        if isinstance(value, ssl.VerifyMode):
            return value
        if isinstance(value, str) and not value.isdigit():
            return names[value.lower().removeprefix("ssl.").removeprefix("cert_")]
        return ssl.VerifyMode(int(str(value)))
    except (KeyError, ValueError):
        raise BrokerError(f"broker_ssl: cert_reqs {value!r} is not one of none, optional, required") from None


def address(params: pika.ConnectionParameters) -> str:
    """Where the broker is, without user and password."""
    scheme = "amqps" if params.ssl_options else "amqp"
    vhost = "" if params.virtual_host == "/" else params.virtual_host
    return f"{scheme}://{params.host}:{params.port}/{vhost}"


def explain(error: BaseException, params: pika.ConnectionParameters) -> str:
    """What went wrong, in one line with the remedy; never with a password."""
    where = address(params)
    for cause in _causes(error):
        text = _explain_one(cause, params)
        if text:
            return f"{where}: {text}"
    return f"{where}: {_first_line(error)}"


def was_down(error: BaseException) -> bool:
    """Whether the error tells that the broker stopped, rather than the network."""
    for cause in _causes(error):
        if isinstance(cause, ConnectionRefusedError):
            return True
        if isinstance(cause, exceptions.ConnectionClosedByBroker) and cause.reply_code == CONNECTION_FORCED:
            return True
    return False


def _explain_one(cause: BaseException, params: pika.ConnectionParameters) -> str:
    """The line for one error of the chain; "" for one that says nothing by itself."""
    user = getattr(params.credentials, "username", "")
    if isinstance(cause, exceptions.AuthenticationError | exceptions.ProbableAuthenticationError):
        return (
            f"user {user!r} is refused; correct user and password in the broker's URL (guest only works from localhost)"
        )
    if isinstance(cause, exceptions.ProbableAccessDeniedError):
        return _closed_by_broker(str(cause), params.virtual_host, user)
    if isinstance(cause, exceptions.ConnectionClosedByBroker | exceptions.ChannelClosedByBroker):
        return _closed_by_broker(f"({cause.reply_code}, {cause.reply_text!r})", params.virtual_host, user)
    if isinstance(cause, exceptions.AMQPHeartbeatTimeout):
        return "no heartbeat came: the broker hangs or the network is cut; connecting anew"
    if isinstance(cause, exceptions.IncompatibleProtocolError):
        return "what answers there does not speak AMQP 0-9-1 (or wants TLS: amqps://)"
    return _explain_network(cause)


def _explain_network(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message}); name its authority in broker_ssl ca_certs"
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed ({cause.reason or cause}); is this the broker's TLS port?"
    for kinds, text in _NETWORK:
        if isinstance(cause, kinds):
            return text
    if isinstance(cause, OSError) and cause.strerror:
        return f"{cause.strerror.lower()}; connecting anew"
    return ""


_NETWORK: Final[tuple[tuple[tuple[type[BaseException], ...], str], ...]] = (
    ((ConnectionRefusedError,), "connection refused. Is the broker running, and is this its port?"),
    ((socket.gaierror,), "the host's name cannot be resolved; correct it in the broker's URL"),
    (
        (TimeoutError, workflow.AMQPConnectorStackTimeout),
        "no answer in time; is the broker overloaded, or a firewall between?",
    ),
    (
        (exceptions.StreamLostError, exceptions.ConnectionWrongStateError),
        "the connection was lost; connecting anew",
    ),
)


def _closed_by_broker(text: str, vhost: str, user: str) -> str:
    if "vhost" in text and "not found" in text:
        return f"there is no virtual host {vhost!r}; create it (rabbitmqctl add_vhost) or correct the broker's URL"
    if "access to vhost" in text:
        return f"user {user!r} may not enter virtual host {vhost!r} (rabbitmqctl set_permissions)"
    if "ACCESS_REFUSED" in text:
        return (
            f"user {user!r} lacks a permission: {text}. Grant configure, write and read (rabbitmqctl set_permissions)"
        )
    if "CONNECTION_FORCED" in text:
        return "the broker closed the connection (it stops, or an operator closed it); connecting anew"
    if "x-consistent-hash" in text:
        return (
            f"it has no consistent-hash exchanges, which --queue-spread needs ({text}); "
            "enable them: rabbitmq-plugins enable rabbitmq_consistent_hash_exchange"
        )
    return f"the broker says {text}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps, innermost last; pika wraps by attribute, by argument and by tuple."""
    seen: list[BaseException] = [error]
    for current in seen:
        yield current
        wrapped: list[object] = [getattr(current, "exception", None), current.__cause__, *current.args]
        wrapped += reversed(getattr(current, "exceptions", ()))
        seen += [item for item in wrapped if isinstance(item, BaseException) and item not in seen]


def _first_line(error: BaseException) -> str:
    text = str(error) or repr(error)
    return text.splitlines()[0][:300]
