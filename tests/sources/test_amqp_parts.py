"""The AMQP source's parts without a broker: addresses, errors, waits and the inbox."""

from __future__ import annotations

import random
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import exceptions

from umbel.clock import ManualClock
from umbel.errors import BrokerError
from umbel.settings import GIB, MIB, Settings
from umbel.sources.amqp_inbox import Inbox
from umbel.sources.amqp_topology import Queue
from umbel.sources.amqp_url import address, explain, parameters, was_down
from umbel.sources.backoff import FIRST, SHARE, Backoff
from umbel.sources.base import Limits


@pytest.mark.parametrize(
    ("url", "host", "port", "vhost", "user", "password"),
    [
        ("amqp://", "localhost", 5672, "/", "guest", "guest"),
        ("amqp://h", "h", 5672, "/", "guest", "guest"),
        ("amqp://h/", "h", 5672, "/", "guest", "guest"),
        ("amqp://h//", "h", 5672, "/", "guest", "guest"),
        ("pyamqp://u:p%40ss@h:1/team", "h", 1, "team", "u", "p@ss"),
        ("amqps://h/a%2Fb", "h", 5671, "a/b", "guest", "guest"),
        ("amqp://[::1]:7/x", "::1", 7, "x", "guest", "guest"),
    ],
)
def test_addresses_mean_what_they_mean_to_celery(
    url: str, host: str, port: int, vhost: str, user: str, password: str
) -> None:
    [found] = parameters(Settings(broker=url))
    assert (found.host, found.port, found.virtual_host) == (host, port, vhost)
    assert (found.credentials.username, found.credentials.password) == (user, password)
    assert (found.ssl_options is not None) is url.startswith("amqps")


def test_several_brokers_are_tried_in_order() -> None:
    assert [found.host for found in parameters(Settings(broker="amqp://a//;amqp://b//"))] == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "mode"),
    [("none", 0), ("CERT_OPTIONAL", 1), ("ssl.CERT_REQUIRED", 2), (2, 2), ("0", 0), (ssl.CERT_NONE, 0)],
)
def test_cert_reqs_in_all_its_spellings(value: object, mode: int) -> None:
    [found] = parameters(Settings(broker="amqp://h", broker_ssl={"cert_reqs": value}))
    assert found.ssl_options is not None
    assert found.ssl_options.context.verify_mode == mode


@pytest.mark.parametrize("options", [{"cert_reqs": "maybe"}, {"ca_certs": "/no/such/file"}])
def test_certificates_that_cannot_be_used_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(BrokerError, match="broker_ssl"):
        parameters(Settings(broker="amqp://h", broker_ssl=options))


def test_no_password_is_ever_told() -> None:
    [found] = parameters(Settings(broker="amqp://u:hidden@h:1/v"))
    assert address(found) == "amqp://h:1/v"
    for error in (OSError("x"), exceptions.AMQPError("y"), exceptions.ProbableAuthenticationError("z")):
        assert "hidden" not in explain(error, found)


def test_a_broker_that_stops_is_told_from_a_cut_line() -> None:
    assert was_down(exceptions.ConnectionClosedByBroker(320, "CONNECTION_FORCED"))
    assert was_down(exceptions.AMQPConnectionError(ConnectionRefusedError()))
    assert not was_down(exceptions.StreamLostError("reset"))


@pytest.mark.parametrize("kind", ["classic", "quorum", "stream"])
def test_every_queue_is_bounded(kind: str) -> None:
    arguments = Queue("q", "e", kind, 4 * GIB).arguments()
    assert arguments["x-max-length-bytes"] == 4 * GIB
    assert arguments.get("x-overflow") == (None if kind == "stream" else "drop-head")


@given(st.integers(0, 2**32), st.floats(1, 100))
def test_waits_grow_but_never_last_longer_than_a_share_of_the_outage(seed: int, cap: float) -> None:
    backoff = Backoff(cap, random.Random(seed))
    waited, bounds = 0.0, []
    for _ in range(60):
        bounds.append(backoff.bound())
        delay = backoff.delay()
        assert 0 <= delay <= min(cap, bounds[-1])
        waited += delay
    assert bounds == sorted(bounds)
    assert bounds[-1] == pytest.approx(min(cap, bounds[-1]))
    assert bounds[-1] > 10 * FIRST or bounds[-1] == cap
    backoff.reset()
    assert backoff.bound() == min(cap, FIRST)


def test_an_outage_of_25_seconds_ends_at_most_10_seconds_late() -> None:
    late = []
    for seed in range(500):
        backoff = Backoff(60.0, random.Random(seed))
        at = 0.0
        while at < 25:
            at += backoff.delay()
        late.append(at - 25)
    assert max(late) < 10
    assert SHARE * 25 < 10


def test_the_inbox_gives_what_the_limits_allow_in_order() -> None:
    inbox = Inbox(ManualClock(5.0), 10, 1 * MIB)
    for tag in range(6):
        assert inbox.put(1, tag, b"x" * 100, "application/json", -1)
    assert [delivery.tag for delivery in inbox.take(Limits(messages=2, wait=0))] == [0, 1]
    assert [delivery.tag for delivery in inbox.take(Limits(bytes=250, wait=0))] == [2, 3]
    assert [delivery.tag for delivery in inbox.take(Limits(bytes=1, wait=0))] == [4]
    assert (len(inbox), inbox.held_bytes, inbox.oldest_at) == (1, 100, 5.0)
    inbox.clear()
    assert (len(inbox), inbox.held_bytes, inbox.oldest_at) == (0, 0, 0.0)


def test_the_inbox_is_full_and_low_by_count_and_by_bytes() -> None:
    inbox = Inbox(ManualClock(), 4, 1_000)
    seen = []
    for tag in range(4):
        inbox.put(1, tag, b"x", "application/json", -1)
        seen.append((inbox.full, inbox.low))
    for _ in range(2):
        inbox.take(Limits(messages=1, wait=0))
        seen.append((inbox.full, inbox.low))
    inbox.put(1, 9, b"x" * 1_000, "application/json", -1)
    seen.append((inbox.full, inbox.low))
    half, filling, brimming = (False, True), (False, False), (True, False)
    assert seen == [half, half, filling, brimming, filling, half, brimming]


def test_a_streams_offsets_tell_gaps_and_repetitions() -> None:
    inbox = Inbox(ManualClock(), 10, 1_000)
    assert inbox.put(1, 1, b"a", "application/json", 7)
    assert inbox.put(1, 2, b"b", "application/json", 8)
    assert not inbox.put(1, 3, b"b", "application/json", 8)
    assert inbox.put(1, 4, b"c", "application/json", 20)
    # Offset 19 is the entry that the broker puts before a segment.
    assert [delivery.gap for delivery in inbox.take(Limits(wait=0))] == [0, 0, 10]


def test_the_prefetch_follows_the_size_of_messages() -> None:
    inbox = Inbox(ManualClock(), 1_000_000, 1 * MIB)
    assert inbox.prefetch(500) == 500
    for tag in range(2_000):
        inbox.put(1, tag, b"x" * 100_000, "application/json", -1)
    assert 1 <= inbox.prefetch(500) <= 20
