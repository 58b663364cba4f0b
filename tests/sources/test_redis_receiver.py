"""The Redis receiver, against real servers: what Celery publishes reaches the spool, and what cannot is said."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.sources.redis_capture import Capture, publish
from tests.sources.test_redis_count import EVENT, envelope
from tests.support.redis import RedisSentinel, RedisServer
from umbel.buffer.writer import SpoolWriter
from umbel.clock import ManualClock
from umbel.errors import BrokerError
from umbel.model.ledger import LedgerEntry, Reason
from umbel.settings import Settings
from umbel.sources.backoff import Backoff
from umbel.sources.redis import SecondCopies, too_much_held, why_cut
from umbel.sources.redis_session import PING_AFTER, PONG_WITHIN, ServerFacts, Session
from umbel.sources.redis_url import RedisOptions
from umbel.status import BROKER_BUFFER, BUFFER, BUFFER_LIMIT, CAPTURED, RECONNECTS, SINCE

Factory = Callable[..., RedisServer]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def at(server: RedisServer, db: int) -> str:
    return f"redis://127.0.0.1:{server.port}/{db}"


def gaps(capture: Capture) -> list[LedgerEntry]:
    capture.messages()
    return [entry for entry in capture.ledger if entry.reason is Reason.DISCONNECTED]


def check_arrival(capture: Capture, sent: int) -> None:
    kinds = Counter(type(event).__name__ for event in capture.read(sent))
    assert kinds == {"WorkerOnline": 1, "TaskStarted": sent - 2, "TaskSent": 1}


NAMINGS: list[dict[str, Any]] = [
    {},
    {"fanout_patterns": False},
    {"fanout_prefix": False},
    {"fanout_prefix": False, "fanout_patterns": False},
    {"fanout_prefix": "/app1."},
    {"fanout_prefix": "/x{db}y.", "global_keyprefix": "pfx:"},
    {"global_keyprefix": "a*[b]?^\\:"},
]


@pytest.mark.parametrize("transport", NAMINGS, ids=str)
def test_events_arrive_under_every_naming_of_channels(
    redis_server: RedisServer, spool: Path, transport: dict[str, Any]
) -> None:
    """The captured count is exact, and neighbours with other names are not heard."""
    broker = at(redis_server, 3)
    with Capture(Settings(broker=broker, broker_options=transport), spool) as capture:
        capture.until_connected()
        publish(at(redis_server, 4), transport={"fanout_prefix": "/other.", "global_keyprefix": "aXXb:"})
        sent = publish(broker, transport=transport)
        check_arrival(capture, sent)
        assert capture.captured == sent


def test_databases_are_kept_apart(redis_server: RedisServer, spool: Path) -> None:
    with Capture(Settings(broker=at(redis_server, 5)), spool) as capture:
        capture.until_connected()
        publish(at(redis_server, 6))
        check_arrival(capture, publish(at(redis_server, 5)))


def test_another_exchange_is_followed(redis_server: RedisServer, spool: Path) -> None:
    with Capture(Settings(broker=redis_server.url, event_exchange="shopev"), spool) as capture:
        capture.until_connected()
        publish(redis_server.url)
        with redis_server.client() as client:
            client.publish("/0.shopev/task.started", envelope(json.dumps(EVENT).encode()))
        assert len(capture.read(1)) == 1


@pytest.mark.parametrize(
    "options",
    [{"password": "hush"}, {"tls": True, "password": "hush"}, {"unix_socket": True, "password": "hush"}],
    ids=str,
)
def test_events_arrive_over_every_kind_of_connection(
    redis_factory: Factory, spool: Path, options: dict[str, Any]
) -> None:
    server = redis_factory(**options)
    with Capture(Settings(broker=server.url), spool) as capture:
        capture.until_connected()
        check_arrival(capture, publish(server.url))
        assert "hush" not in str(capture.status)


def test_a_large_batch_arrives_over_tls(redis_factory: Factory, spool: Path) -> None:
    """Records of TLS are smaller than one read: what came in many of them is put together."""
    server = redis_factory(tls=True)
    message = envelope(json.dumps([EVENT | {"result": "x" * 20_000}] * 24).encode())
    with Capture(Settings(broker=server.url), spool) as capture, server.client() as client:
        capture.until_connected()
        for _ in range(20):
            client.publish("/0.celeryev/task.multi", message)
        capture.until(lambda: capture.captured == 480, "480 events")
        assert capture.messages() == [message] * 20


def test_a_certificate_that_is_not_trusted_is_refused_in_plain_words(redis_factory: Factory, spool: Path) -> None:
    server = redis_factory(tls=True)
    broker = server.url.split("?")[0]
    with Capture(Settings(broker=broker), spool) as capture:
        capture.until(lambda: "not trusted" in capture.status.error, "the refusal")
        assert not capture.connected
    with Capture(Settings(broker=broker, broker_ssl={"ssl_cert_reqs": "none"}), spool) as capture:
        capture.until_connected()


@pytest.mark.slow
def test_sentinel_failover_is_followed(redis_sentinel: RedisSentinel, spool: Path) -> None:
    transport = {"master_name": redis_sentinel.master_name}
    with Capture(Settings(broker=redis_sentinel.url, broker_options=transport), spool) as capture:
        capture.until_connected()
        check_arrival(capture, publish(redis_sentinel.url, transport=transport))
        redis_sentinel.master.kill()
        capture.until(lambda: redis_sentinel.current_master() == redis_sentinel.replica.port, "the failover", 90)
        capture.until_connected()
        check_arrival(capture, publish(redis_sentinel.url, transport=transport))
        (gap,) = gaps(capture)
        assert "another one took over" in gap.detail
        assert capture.status.values[RECONNECTS] == 1


@pytest.mark.slow
def test_a_master_that_was_only_demoted_is_left(redis_sentinel: RedisSentinel, spool: Path) -> None:
    """Nothing breaks the connection to a master that still answers while the Sentinels have chosen another."""
    transport = {"master_name": redis_sentinel.master_name}
    with Capture(Settings(broker=redis_sentinel.url, broker_options=transport), spool) as capture:
        capture.until_connected()
        redis_sentinel.master.pause()
        capture.until(lambda: redis_sentinel.current_master() == redis_sentinel.replica.port, "the failover", 90)
        capture.until(lambda: capture.status.values[RECONNECTS] == 1 and capture.connected, "the move")
        check_arrival(capture, publish(redis_sentinel.url, transport=transport))
        redis_sentinel.master.resume()


@pytest.mark.parametrize("compat", [False, True])
def test_sentinel_hears_old_and_new_kombu_once(redis_sentinel: RedisSentinel, spool: Path, compat: bool) -> None:
    transport = {"master_name": redis_sentinel.master_name, "sentinel_fanout_compat": compat}
    old = envelope(json.dumps(EVENT | {"uuid": "old"}).encode())
    with Capture(Settings(broker=redis_sentinel.url, broker_options=transport), spool) as capture:
        capture.until_connected()
        check_arrival(capture, publish(redis_sentinel.url, transport=transport))
        with redis_sentinel.master.client() as client:
            client.publish("/{db}.celeryev/task.started", old)
        assert len(capture.read(1)) == 1


def test_a_sentinel_without_the_master_is_named(redis_sentinel: RedisSentinel, spool: Path) -> None:
    settings = Settings(broker=redis_sentinel.url, broker_options={"master_name": "nobody"})
    with Capture(settings, spool) as capture:
        capture.until(lambda: "nobody" in capture.status.error, "the error")
        assert "master_name" in capture.status.error


def test_capture_resumes_after_a_restart_and_the_gap_is_noted(redis_factory: Factory, spool: Path) -> None:
    server = redis_factory()
    with Capture(Settings(broker=server.url), spool) as capture:
        capture.until_connected()
        check_arrival(capture, publish(server.url))
        before = time.time()
        server.stop()
        capture.until(lambda: not capture.connected, "noticing the end")
        capture.until(lambda: "connection refused" in capture.status.error, "the refusal")
        time.sleep(1)
        server.start()
        back = time.time()
        capture.until_connected(30)
        check_arrival(capture, publish(server.url))
        (gap,) = gaps(capture)
        assert gap.estimated
        assert gap.count == 0
        assert before - 1 < gap.first_at < back < gap.last_at + 1
        assert "restarted" in gap.detail
        assert capture.status.error == ""


@pytest.mark.slow
def test_a_server_that_hangs_is_noticed_within_twenty_seconds(redis_factory: Factory, spool: Path) -> None:
    server = redis_factory()
    with Capture(Settings(broker=server.url, reconnect_max=2.0), spool) as capture:
        capture.until_connected()
        check_arrival(capture, publish(server.url))
        server.pause()
        took = capture.until(lambda: not capture.connected, "noticing the silence", 40)
        assert took > 5
        capture.until(lambda: "no answer" in capture.status.error, "saying it")
        server.resume()
        capture.until_connected()
        check_arrival(capture, publish(server.url))
        (gap,) = gaps(capture)
        assert gap.last_at - gap.first_at > took - 1


@pytest.mark.slow
def test_silence_is_no_disconnection(redis_factory: Factory, spool: Path) -> None:
    """Hours without an event are usual; the server answers PING."""
    server = redis_factory()
    with Capture(Settings(broker=server.url), spool) as capture:
        capture.until_connected()
        time.sleep(16)
        assert capture.connected
        assert capture.status.values[RECONNECTS] == 0
        check_arrival(capture, publish(server.url))
        assert gaps(capture) == []


def test_a_stall_of_our_own_is_not_taken_for_the_servers_silence(redis_factory: Factory) -> None:
    server = redis_factory()
    clock = ManualClock()
    session = Session(RedisOptions.from_settings(Settings(broker=server.url)), "celeryev", clock)
    try:
        clock.advance(100)
        assert session.read(0.0) == []
        assert session.silent_for == 100
        assert session.read(5.0) == []
        assert session.silent_for == 0, "the answer to PING was not read"
        server.pause()
        clock.advance(PING_AFTER + 0.1)
        assert session.read(0.1) == []
        clock.advance(PONG_WITHIN + 0.1)
        with pytest.raises(BrokerError, match="not even to PING"):
            session.read(0.1)
    finally:
        server.resume()
        session.close()


def test_a_wrong_password_is_said_and_a_corrected_one_is_taken(redis_factory: Factory, spool: Path) -> None:
    server = redis_factory(password="old")
    broker = f"redis://:new@127.0.0.1:{server.port}/0"
    with Capture(Settings(broker=broker), spool) as capture:
        capture.until(lambda: "password was refused" in capture.status.error, "the refusal")
        assert not capture.connected
        assert ":new@" not in str(capture.status)
        with server.client() as client:
            client.config_set("requirepass", "new")
        server.password = "new"
        capture.until_connected(30)
        check_arrival(capture, publish(broker))
        (gap,) = gaps(capture)
        assert "could not connect" in gap.detail


def test_a_forbidden_channel_is_said(redis_factory: Factory, spool: Path) -> None:
    server = redis_factory()
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "meek", "on", ">pw", "+@all", "resetchannels", "&/1.*")
    with Capture(Settings(broker=f"redis://meek:pw@127.0.0.1:{server.port}/0"), spool) as capture:
        capture.until(lambda: "lacks a right" in capture.status.error, "the refusal")
        assert not capture.connected


def test_a_user_that_may_only_subscribe_is_enough(redis_factory: Factory, spool: Path) -> None:
    """CONFIG, INFO and CLIENT LIST are forbidden at many providers."""
    server = redis_factory()
    with server.client() as client:
        rights = ["+subscribe", "+psubscribe", "+ping", "+client|id", "+client|setname", "+client|setinfo", "+select"]
        client.execute_command(
            "ACL", "SETUSER", "meek", "on", ">pw", "-@all", *rights[:3], *rights[6:], "+client", "allchannels"
        )
    with Capture(Settings(broker=f"redis://meek:pw@127.0.0.1:{server.port}/0"), spool) as capture:
        capture.until_connected()
        check_arrival(capture, publish(server.url))


def test_a_burst_arrives_wholly(redis_factory: Factory, spool: Path) -> None:
    """100,000 messages as fast as one publisher can: none lost, no disconnection."""
    server = redis_factory()
    message = envelope(json.dumps(EVENT).encode())
    with Capture(Settings(broker=server.url), spool) as capture, server.client() as client:
        capture.until_connected()
        for _ in range(100):
            pipeline = client.pipeline(transaction=False)
            for _ in range(1_000):
                pipeline.publish("/0.celeryev/task.started", message)
            assert pipeline.execute() == [1] * 1_000
        capture.until(lambda: capture.captured == 100_000, "capturing 100,000")
        found = capture.messages()
        assert len(found) == 100_000
        assert set(found) == {message}
        assert capture.status.values[RECONNECTS] == 0
        assert gaps(capture) == []


class StallingSpool(SpoolWriter):
    """A disk that stalls at the first write."""

    stalled = False
    seconds = 7.0

    def append(self, *args: Any, **kwargs: Any) -> None:
        if not self.stalled:
            self.stalled = True
            time.sleep(self.seconds)
        super().append(*args, **kwargs)


class BrieflyStallingSpool(StallingSpool):
    seconds = 1.0


def test_what_was_on_its_way_when_the_server_ended_is_kept(redis_factory: Factory, spool: Path) -> None:
    server = redis_factory()
    messages = [envelope(json.dumps(EVENT | {"uuid": str(n)}).encode()) for n in range(1_000)]
    with Capture(Settings(broker=server.url), spool, BrieflyStallingSpool) as capture:
        capture.until_connected()
        with server.client() as client:
            for message in messages:
                assert client.publish("/0.celeryev/task.started", message) == 1
        server.stop()
        capture.until(lambda: not capture.connected, "noticing the end")
        assert capture.messages() == messages


class StoppingSpool(SpoolWriter):
    """So slow that the receiver reads more than it hands on, however fast it is; then it stops the receiver."""

    capture: Capture | None = None
    #: Set by the publisher each time it has sent more than one read gives on.
    sent = threading.Event()

    def append(self, *args: Any, **kwargs: Any) -> None:
        super().append(*args, **kwargs)
        assert self.capture is not None
        session = self.capture.receiver._session
        if session is not None and session.held:
            self.capture.stop.set()
        elif not self.capture.stop.is_set():
            self.sent.clear()
            self.sent.wait(30)


def test_what_was_read_when_the_stop_came_is_kept(
    redis_factory: Factory, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umbel.sources.redis.LEAVE_WITHIN", 30.0)
    server = redis_factory()
    message = envelope(json.dumps(EVENT | {"x": "y" * 3_000}).encode())
    with Capture(Settings(broker=server.url), spool, StoppingSpool) as capture, server.client() as client:
        assert isinstance(capture.spool, StoppingSpool)
        capture.spool.capture = capture
        capture.until_connected()
        session = capture.receiver._session
        assert session is not None
        pipeline = client.pipeline(transaction=False)
        for _ in range(300):
            for _ in range(500):
                pipeline.publish("/0.celeryev/task.started", message)
            pipeline.execute()
            capture.spool.sent.set()
            if capture.stop.is_set():
                break
        capture.until(capture.stop.is_set, "reading more than was handed on")
        capture.end(30)
        assert session.held == 0
        assert len(capture.messages()) == capture.captured > 0


def test_being_cut_off_for_reading_slowly_is_named(redis_factory: Factory, spool: Path) -> None:
    server = redis_factory(options={"client-output-buffer-limit": "pubsub 1mb 512kb 60"})
    message = envelope(json.dumps(EVENT | {"result": "x" * 50_000}).encode())
    with Capture(Settings(broker=server.url), spool, StallingSpool) as capture, server.client() as client:
        capture.until_connected()
        for _ in range(1_000):
            client.publish("/0.celeryev/task.started", message)
        capture.until(lambda: "hangs" in capture.status.error, "saying that reading stands still")
        capture.until(lambda: capture.status.values[RECONNECTS] >= 1, "the cut")
        capture.until(lambda: gaps(capture), "the gap")
        assert "client-output-buffer-limit" in gaps(capture)[0].detail
        assert capture.captured < 1_000


def test_the_time_between_two_lives_is_a_gap(redis_server: RedisServer, spool: Path) -> None:
    settings = Settings(broker=at(redis_server, 7))
    with Capture(settings, spool) as first:
        first.until_connected()
        check_arrival(first, publish(settings.broker))
        assert gaps(first) == []
    between = time.time()
    time.sleep(0.5)
    with Capture(settings, spool, position=first.position) as second:
        second.until_connected()
        check_arrival(second, publish(settings.broker))
        (gap,) = gaps(second)
        assert "was not running" in gap.detail
        assert gap.first_at < between < gap.last_at
        assert gap.estimated


def test_the_status_tells_the_truth_about_once_a_second(redis_server: RedisServer, spool: Path) -> None:
    settings = Settings(broker=at(redis_server, 8))
    with Capture(settings, spool) as capture:
        capture.until_connected()
        sent = publish(settings.broker)
        capture.until(lambda: capture.statuses and capture.statuses[-1].values[CAPTURED] == sent, "the status")
        status = capture.statuses[-1]
        assert status.part == "receive"
        assert status.error == ""
        assert status.texts == {"broker": settings.broker}
        assert status.values[BUFFER] > 0
        assert status.values[BUFFER_LIMIT] > status.values[BUFFER]
        assert abs(status.values[SINCE] - time.time()) < 30
        assert status.values[BROKER_BUFFER] == 0
        count, began = len(capture.statuses), time.monotonic()
        capture.until(lambda: len(capture.statuses) >= count + 3, "three more of them", 60)
        assert time.monotonic() - began > 1.5


def test_it_stops_at_once_while_idle(redis_server: RedisServer, spool: Path) -> None:
    with Capture(Settings(broker=at(redis_server, 9)), spool) as capture:
        capture.until_connected()
        capture.end()


def test_it_stops_at_once_while_waiting_to_try_again(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "delay", lambda _self: 600.0)
    with Capture(Settings(broker="redis://127.0.0.1:1/0"), spool) as capture:
        capture.until(lambda: "refused" in capture.status.error, "the refusal")
        capture.end()


def test_it_stops_at_once_while_a_silent_host_keeps_it_connecting(spool: Path) -> None:
    patient = {"socket_timeout": 600, "socket_connect_timeout": 600}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with Capture(Settings(broker=broker, broker_options=patient), spool) as capture:
            connection, _ = silent.accept()
            with connection:
                capture.end()


def test_poison_passes_unharmed(redis_server: RedisServer, spool: Path) -> None:
    """The receiver moves bytes; what they mean is not its business."""
    poison = [b"", b"\x00\xff\r\n", b"[" * 10_000, b'{"body": "W', "é".encode() * 100, b"$-1\r\n"]
    with Capture(Settings(broker=at(redis_server, 10)), spool) as capture, redis_server.client() as client:
        capture.until_connected()
        for message in poison:
            client.publish("/10.celeryev/task.multi", message)
        capture.until(lambda: capture.captured == len(poison), "the poison")
        assert capture.messages() == poison


def test_a_second_copy_is_dropped_once_and_memory_is_bounded() -> None:
    copies = SecondCopies(remembered=3)
    assert copies.drop([b"1", b"2", b"1", b"1"]) == [b"1", b"2", b"1"]
    assert copies.drop([str(n).encode() for n in range(100)]) == [
        str(n).encode() for n in range(100) if n not in (1, 2)
    ]
    assert len(copies._marks) == 3


FACTS = ServerFacts(run_id="r", hard_limit=32 << 20, soft_limit=8 << 20)


@pytest.mark.parametrize(
    ("after", "slow", "says"),
    [
        (FACTS, False, "closed"),
        (FACTS, True, "closed (it seems that Redis cut us off"),
        (replace(FACTS, run_id="s"), True, "closed (the server was restarted"),
        (replace(FACTS, run_id=""), True, "closed"),
    ],
)
def test_the_reason_of_a_cut_is_told_from_what_is_known(after: ServerFacts, slow: bool, says: str) -> None:
    told = why_cut("closed", FACTS, after, slow=slow)
    assert told.startswith(says)
    assert (told == "closed") == (says == "closed")


@pytest.mark.parametrize(
    ("before", "after", "output_buffer", "expected"),
    [
        (FACTS, FACTS, 0, False),
        (FACTS, FACTS, 9 << 20, True),
        (FACTS, replace(FACTS, peak_output=9 << 20), 0, True),
        (replace(FACTS, cut_off=1), replace(FACTS, cut_off=2), 0, True),
        (replace(FACTS, cut_off=2), replace(FACTS, cut_off=2), 0, False),
        (FACTS, replace(FACTS, peak_output=9 << 20, hard_limit=0, soft_limit=0), 0, False),
    ],
)
def test_a_full_output_buffer_is_recognized(
    before: ServerFacts, after: ServerFacts, output_buffer: int, expected: bool
) -> None:
    assert too_much_held(before, after, output_buffer) is expected
