"""Decoding: everything on the wire becomes an event or a refusal with its bytes, never an exception."""

from __future__ import annotations

import base64
import json
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.model.decode import RAW_LIMIT, Decoded, Decoder
from umbel.model.event import (
    CLASS_OF_TYPE,
    CustomEvent,
    EventClass,
    TaskFailed,
    TaskReceived,
    TaskRevoked,
    TaskStarted,
    TaskSucceeded,
    WorkerHeartbeat,
)
from umbel.model.ledger import Reason

GOOD = {"type": "task-started", "hostname": "w1@a", "timestamp": 1750000000.5, "pid": 7, "clock": 3, "uuid": "u1"}
JSON = "application/json"


def envelope(body: bytes, content_type: str = JSON, body_encoding: str | None = "base64") -> bytes:
    """A message as kombu's Redis transport publishes it."""
    return json.dumps(
        {
            "body": base64.b64encode(body).decode() if body_encoding else body.decode(),
            "content-encoding": "utf-8",
            "content-type": content_type,
            "headers": {"hostname": "w1@a"},
            "properties": {
                "delivery_mode": 1,
                "delivery_info": {"exchange": "celeryev", "routing_key": "task.multi"},
                "priority": 0,
                "body_encoding": body_encoding,
                "delivery_tag": str(uuid.uuid4()),
            },
        }
    ).encode()


def body(raw: bytes | str, content_type: str = JSON) -> Decoded:
    return Decoder().bodies([(raw.encode() if isinstance(raw, str) else raw, content_type)])


@pytest.mark.parametrize("type_", sorted(CLASS_OF_TYPE))
def test_every_type_of_celery_becomes_its_own_record(type_: str) -> None:
    got = body(json.dumps(GOOD | {"type": type_, "utcoffset": -6, "unheard": 1}))
    assert not got.refused
    assert type(got.events[0]).__struct_config__.tag == type_
    assert got.events[0].timestamp == 1750000000.5


def test_single_batched_and_empty_bodies_in_envelopes() -> None:
    got = Decoder().envelopes(
        [envelope(json.dumps(x).encode()) for x in (GOOD, [GOOD, GOOD | {"uuid": "u2"}], [])]
        + [envelope(json.dumps(GOOD).encode(), body_encoding=None)]
    )
    assert [event.uuid for event in got.events if isinstance(event, TaskStarted)] == ["u1", "u1", "u2", "u1"]
    assert got.received == 4


def test_msgpack_is_read() -> None:
    got = body(msgspec.msgpack.encode([GOOD, GOOD | {"type": "task-x", "n": 1}]), "application/x-msgpack")
    assert [type(event) for event in got.events] == [TaskStarted, CustomEvent]


@pytest.mark.parametrize(
    "content_type", ["application/x-python-serialize", "application/x-yaml", "application/data", "text/plain"]
)
def test_serializers_that_could_run_code_are_refused_and_counted(content_type: str) -> None:
    raw = b"\x80\x04\x95anything"
    for got in (body(raw, content_type), Decoder().envelopes([envelope(raw, content_type)])):
        assert [(r.reason, r.raw, r.content_type) for r in got.refused] == [(Reason.CONTENT_TYPE, raw, content_type)]


def test_what_only_the_standard_library_reads_is_kept() -> None:
    got = body(
        '[{"type":"task-succeeded","hostname":"a","timestamp":1.5,"uuid":"x","runtime":NaN,"result":"\\udc80"},'
        ' {"type":"task-failed","hostname":"a","timestamp":2,"uuid":"x","exception":"\\ud800!"}]'
    )
    assert got.refused == []
    succeeded, failed = got.events
    assert isinstance(succeeded, TaskSucceeded)
    assert isinstance(failed, TaskFailed)
    assert (succeeded.runtime, succeeded.result, failed.exception) == (None, "\\udc80", "\\ud800!")


POISON = {
    "no type": {"hostname": "a", "timestamp": 1, "uuid": "x"},
    "type is a number": GOOD | {"type": 3},
    "type is empty": GOOD | {"type": ""},
    "no hostname": {k: v for k, v in GOOD.items() if k != "hostname"},
    "hostname is null": GOOD | {"hostname": None},
    "hostname is empty": GOOD | {"hostname": ""},
    "hostname is a list": GOOD | {"hostname": ["a"]},
    "no timestamp": {k: v for k, v in GOOD.items() if k != "timestamp"},
    "timestamp is text": GOOD | {"timestamp": "now"},
    "timestamp is negative": GOOD | {"timestamp": -1},
    "timestamp is far off": GOOD | {"timestamp": 1e300},
    "timestamp is NaN": GOOD | {"timestamp": float("nan")},
    "timestamp is infinite": GOOD | {"timestamp": float("inf")},
    "no uuid": {k: v for k, v in GOOD.items() if k != "uuid"},
    "uuid is a number": GOOD | {"uuid": 5},
    "uuid is endless": GOOD | {"uuid": "x" * 100_000},
    "pid is text": GOOD | {"pid": "seven"},
    "pid is huge": GOOD | {"pid": 2**80},
    "clock is a list": GOOD | {"clock": []},
    "name is a list": GOOD | {"type": "task-received", "name": ["a"]},
    "args is an object": GOOD | {"type": "task-received", "args": {"a": 1}},
    "retries is negative": GOOD | {"type": "task-received", "retries": -1},
    "runtime is text": GOOD | {"type": "task-succeeded", "runtime": "long"},
    "a number": 7,
    "null": None,
    "text": "task-started",
    "a list in the list": [GOOD],
}


@pytest.mark.parametrize("poison", POISON.values(), ids=list(POISON))
def test_a_poison_event_is_refused_and_its_batch_mates_are_kept(poison: object) -> None:
    mate = GOOD | {"uuid": "mate"}
    got = body(json.dumps([mate, poison, mate]))
    assert [e.uuid for e in got.events if isinstance(e, TaskStarted)] == ["mate", "mate"]
    assert [r.reason for r in got.refused] == [Reason.MALFORMED]
    assert got.refused[0].error
    assert got.received == 3
    if not isinstance(poison, list):
        alone = body(json.dumps(poison))
        assert (len(alone.events), len(alone.refused)) == (0, 1)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[1,", b"[" * 5_000, b"1" * 10_000, b'{"a":' * 3_000])
def test_bytes_that_are_no_json_are_one_refusal(raw: bytes) -> None:
    assert body(raw).received == 1
    got = Decoder().envelopes([raw, envelope(json.dumps(GOOD).encode())])
    assert (len(got.events), len(got.refused)) == (1, 1)


@given(st.binary(max_size=200), st.sampled_from([JSON, "application/x-msgpack", "application/x-yaml"]))
def test_no_bytes_raise(raw: bytes, content_type: str) -> None:
    for got in (body(raw, content_type), Decoder().envelopes([raw])):
        assert got.received == len(got.events) + len(got.refused)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from([*GOOD, "name", "result", "fields"]), json_values),
    st.sampled_from([*CLASS_OF_TYPE, "task-x"]),
)
def test_any_values_in_any_fields_give_an_event_or_a_refusal(fields: dict[str, object], type_: str) -> None:
    assert body(json.dumps(GOOD | {"type": type_} | fields)).received == 1


def test_custom_events_keep_their_fields() -> None:
    got = body(
        json.dumps(GOOD | {"type": "task-progress", "pct": 0.5, "event": "x", "note": "ä", "at": {"__type__": "uuid"}})
    )
    event = got.events[0]
    assert isinstance(event, CustomEvent)
    assert (event.type, event.uuid) == ("task-progress", "u1")
    assert json.loads(event.fields) == {"pct": 0.5, "event": "x", "note": "ä", "at": {"__type__": "uuid"}}


def test_long_texts_are_cut_and_marked_whichever_way_they_come() -> None:
    long = "ä" * 1_000
    raw = json.dumps(GOOD | {"type": "task-failed", "exception": long, "traceback": "short"}).encode()
    for got in (Decoder(text_limit=101).bodies([(raw, JSON)]), Decoder(text_limit=101).envelopes([envelope(raw)])):
        event = got.events[0]
        assert isinstance(event, TaskFailed)
        assert event.exception == "ä" * 50 + "… [cut: 2,000 bytes]"
        assert event.traceback == "short"


def test_the_quarantine_keeps_a_bounded_part_of_the_bytes() -> None:
    got = body(b"{" + b"x" * (2 * RAW_LIMIT))
    assert len(got.refused[0].raw) == RAW_LIMIT
    assert got.refused[0].event_class is EventClass.UNKNOWN


def test_odd_shapes_of_the_protocol() -> None:
    got = body(
        json.dumps(
            [
                GOOD | {"type": "task-revoked", "signum": "Terminated", "terminated": True},
                GOOD | {"type": "task-revoked", "signum": 15},
                GOOD | {"type": "task-succeeded", "runtime": None},
                GOOD | {"type": "task-received", "name": None, "parent_id": None},
                {"type": "worker-heartbeat", "hostname": "w1@a", "timestamp": 5, "freq": 5, "clock": None},
            ]
        )
    )
    assert not got.refused
    assert [type(e) for e in got.events] == [TaskRevoked, TaskRevoked, TaskSucceeded, TaskReceived, WorkerHeartbeat]


def test_no_text_of_a_custom_event_is_beyond_utf_8() -> None:
    """Half a surrogate pair is JSON, but no store can hold it."""
    half = "\ud800"
    got = body(json.dumps(GOOD | {"type": f"task-{half}", "uuid": half, "hostname": half, half: half}))
    assert not got.refused
    (event,) = got.events
    assert isinstance(event, CustomEvent)
    msgspec.json.encode(event)
