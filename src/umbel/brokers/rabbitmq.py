"""How many messages wait in RabbitMQ's queues, and what `umbel doctor` can find out about it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from pika import exceptions
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from umbel.brokers.base import Finding, QueueDepth
from umbel.brokers.rabbitmq_held import Held, HeldMessages
from umbel.errors import BrokerError
from umbel.model.delayed import DELAYED
from umbel.settings import Settings
from umbel.sources.amqp_api import OFF, ManagementApi
from umbel.sources.amqp_topology import NOT_FOUND, PRECONDITION_FAILED, Queue, drift, exchange_exists
from umbel.sources.amqp_url import FAILURES, address, explain, parameters

#: Seconds to connect within; a broker that hangs later on is found by heartbeats, a few seconds after.
CONNECT: Final = 3.0
HEARTBEAT: Final = 1
#: Queues asked for at once; the rest is left out.
MAX_QUEUES: Final = 1_000
ACCESS_REFUSED: Final = 403
#: RESOURCE_LOCKED: another connection's own queue.
LOCKED: Final = 405
#: Seconds to wait for the broker to tell of an alarm.
ALARM: Final = 1.0
#: Messages waiting in Umbel's queue from which on the doctor says so.
BACKLOG: Final = 100_000


def connect(settings: Settings, purpose: str, blocked_timeout: float | None = None) -> BlockingConnection:
    """A short-lived connection to the first broker that answers; raises `BrokerError`.

    It ends by itself once an alarm has held it for `blocked_timeout` seconds.
    """
    text = "no broker is named"
    for params in parameters(settings, purpose):
        quick = copy.copy(params)
        quick.heartbeat = HEARTBEAT
        quick.blocked_connection_timeout = blocked_timeout
        quick.socket_timeout = quick.stack_timeout = CONNECT
        try:
            return BlockingConnection(quick)
        except FAILURES as error:
            text = explain(error, params)
    raise BrokerError(text)


class RabbitQueueDepths:
    """`QueueDepths` by passive declaration: ready messages and consumers, as they are at this moment.

    Unacknowledged ones the management API alone tells, up to some seconds late. What a stream keeps it tells surely;
    what a declaration tells of it depends on the broker's version. Each call has a connection of its own, so any
    thread may call.
    """

    #: One for each bit of the seconds to wait, the longest delay last.
    delayed: Sequence[str] = tuple(f"{DELAYED}{bit}" for bit in range(28))

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._held = HeldMessages(settings)

    def depths(self, names: Sequence[str]) -> Sequence[QueueDepth]:
        if not names:
            return []
        connection = connect(self._settings, "umbel queue depths")
        try:
            found = [_depth(connection, name) for name in names[:MAX_QUEUES]]
        except FAILURES as error:
            raise BrokerError(explain(error, parameters(self._settings)[0])) from error
        finally:
            close(connection)
        held = self._held.read()
        return [_with_held(depth, held.get(depth.name)) for depth in found if depth is not None]

    def close(self) -> None:
        """Nothing is kept open."""


def _with_held(depth: QueueDepth, held: Held | None) -> QueueDepth:
    if held is None:
        return depth
    return replace(depth, unacked=held.unacked, ready=depth.ready if held.kept is None else held.kept)


def close(connection: BlockingConnection) -> None:
    """Close it, if it is not closed already."""
    if connection.is_open:
        connection.close()


def _depth(connection: BlockingConnection, name: str) -> QueueDepth | None:
    """One queue; None where the broker denies that it exists. A refusal closes its channel, so each has its own."""
    channel = connection.channel()
    try:
        answer = channel.queue_declare(name, passive=True)
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code == NOT_FOUND:
            return None
        return QueueDepth(name, ready=None)
    channel.close()
    return QueueDepth(name, ready=answer.method.message_count, consumers=answer.method.consumer_count)


def diagnose_rabbitmq(settings: Settings) -> list[Finding]:
    """What keeps events from flowing, as far as the broker can tell; nothing that stays is changed there."""
    try:
        connection = connect(settings, "umbel doctor")
    except BrokerError as error:
        return [Finding("error", "RabbitMQ", str(error), "mend this first; the rest cannot be looked at")]
    where = address(parameters(settings)[0])
    findings = [Finding("ok", "RabbitMQ", f"connected to {where}")]
    try:
        findings += _look(connection, settings)
    except FAILURES as error:
        findings.append(Finding("error", "RabbitMQ", explain(error, parameters(settings)[0]), "see the broker's log"))
    finally:
        close(connection)
    return findings


def _look(connection: BlockingConnection, settings: Settings) -> Iterator[Finding]:
    queue = Queue.of(settings)
    yield _workers(connection)
    yield _exchange(connection, queue)
    yield _rights(connection, queue)
    yield _alarms(settings, queue)
    depth = _depth(connection, queue.name)
    if depth is None:
        detail = f"{queue.name!r} is not there yet"
        yield Finding("warn", "queue of events", detail, "start `umbel collect` (or `umbel up`), which makes it")
        return
    yield _properties(connection, queue)
    yield _backlog(queue, depth)
    if not queue.is_stream:
        yield _drops(settings, queue)


def _workers(connection: BlockingConnection) -> Finding:
    if exchange_exists(connection, "celery.pidbox"):
        return Finding("ok", "workers", "a Celery worker has been connected here (its control exchange is there)")
    remedy = "start one; if one runs, it uses another broker or virtual host"
    return Finding("warn", "workers", "no Celery worker was ever connected to this virtual host", remedy)


def _exchange(connection: BlockingConnection, queue: Queue) -> Finding:
    if exchange_exists(connection, queue.exchange):
        return Finding("ok", "exchange of events", f"{queue.exchange!r} is there")
    remedy = "start a worker, or correct --event-exchange if your app sets event_exchange"
    return Finding("warn", "exchange of events", f"{queue.exchange!r} is not there: nobody has sent an event", remedy)


def _rights(connection: BlockingConnection, queue: Queue) -> Finding:
    """Make, bind and drop a queue of this connection's own, named like Umbel's, as permissions go by name."""
    name = f"{queue.name}.doctor"
    with_binding = exchange_exists(connection, queue.exchange)
    channel = connection.channel()
    try:
        _try_queue(channel, name, queue.exchange if with_binding else "")
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code == LOCKED:
            return Finding("ok", "permissions", "another doctor is trying them just now")
        if error.reply_code != ACCESS_REFUSED:
            raise
        remedy = (
            f"rabbitmqctl set_permissions: configure, write and read on {queue.name!r} (and read on {queue.exchange!r})"
        )
        return Finding("error", "permissions", error.reply_text, remedy)
    channel.close()
    return Finding("ok", "permissions", "a queue can be made and bound")


def _try_queue(channel: BlockingChannel, name: str, exchange: str) -> None:
    channel.queue_declare(name, exclusive=True, auto_delete=True)
    if exchange:
        channel.queue_bind(name, exchange, routing_key="doctor")
    channel.queue_delete(name)


def _properties(connection: BlockingConnection, queue: Queue) -> Finding:
    """The queue is there: declaring it again as it should be changes nothing and tells whether it is so."""
    channel = connection.channel()
    try:
        channel.queue_declare(queue.name, durable=True, arguments=queue.arguments())
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code != PRECONDITION_FAILED:
            raise
        remedy = (
            "stop Umbel, let it be drained, `rabbitmqctl delete_queue` it; or set --queue-type, --queue-bytes to match"
        )
        return Finding("warn", "queue's properties", drift(queue, error.reply_text), remedy)
    channel.close()
    bound = f"{queue.type}, holds at most {queue.bytes:,} bytes, then drops the oldest"
    if queue.type == "classic":
        bound += "; loses what it holds when the broker restarts (--queue-type quorum or stream keeps it)"
    return Finding("ok", "queue's properties", bound)


def _backlog(queue: Queue, depth: QueueDepth) -> Finding:
    if not depth.consumers:
        detail = f"nobody reads {queue.name!r}; {depth.ready or 0:,} messages wait in it"
        return Finding("warn", "backlog", detail, "start `umbel collect` (or `umbel up`)")
    detail = f"{depth.ready or 0:,} messages wait"
    if (depth.ready or 0) >= BACKLOG:
        return Finding("warn", "backlog", detail, "see the Ingest page: is the store slow or stuck?")
    return Finding("ok", "backlog", detail)


def _alarms(settings: Settings, queue: Queue) -> Finding:
    """Publish a message that goes nowhere: a broker with an alarm answers that it takes none, and nothing else."""
    connection = connect(settings, "umbel doctor: alarms", blocked_timeout=ALARM / 2)
    try:
        channel = connection.channel()
        channel.basic_publish("", f"{queue.name}.nowhere", b"")
        connection.process_data_events(time_limit=ALARM)
        channel.close()
    except exceptions.ConnectionBlockedTimeout:
        remedy = "give it memory or disk (rabbitmq-diagnostics alarms); until then workers cannot publish events"
        return Finding("error", "alarms", "low on memory or disk, the broker takes nothing from publishers", remedy)
    except exceptions.ChannelClosedByBroker as error:
        remedy = "grant write on amq.default, or ask the broker itself (rabbitmq-diagnostics alarms)"
        return Finding("warn", "alarms", f"cannot be seen: {error.reply_text}", remedy)
    finally:
        close(connection)
    return Finding("ok", "alarms", "none: the broker takes messages")


def _drops(settings: Settings, queue: Queue) -> Finding:
    """Whether the broker tells what a full queue dropped."""
    title = "drops of a full queue"
    if settings.broker_api == OFF:
        remedy = "leave --broker-api out, or use --queue-type stream, whose offsets tell"
        return Finding("warn", title, "not counted, as --broker-api off says", remedy)
    api = ManagementApi(settings, parameters(settings)[0])
    try:
        api.counts(queue.name)
    except BrokerError as error:
        return Finding("warn", title, f"not counted: {error}", "or use --queue-type stream, whose offsets tell")
    return Finding("ok", title, f"counted with the help of the management API at {api.where}")
