"""The receiver's count of events in a message is the number that the decoder will receive from it."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.model.decode import Decoder
from umbel.sources.redis_count import count_events

EVENT = {
    "type": "task-started",
    "uuid": "5d5e6a35-0d0a-4b57-8b5c-3a1f3c3b6f0b",
    "hostname": "w@h",
    "timestamp": 1_750_000_000.5,
    "pid": 7,
    "clock": 9,
    "utcoffset": 0,
}


def envelope(body: bytes, content_type: str | None = "application/json", encoding: str | None = "base64") -> bytes:
    text = base64.b64encode(body).decode() if encoding == "base64" else body.decode(errors="replace")
    message: dict[str, Any] = {"body": text, "content-encoding": "utf-8"}
    if content_type is not None:
        message["content-type"] = content_type
    message |= {"headers": {}, "properties": {"delivery_tag": "x"}}
    if encoding is not None:
        message["properties"]["body_encoding"] = encoding
    return json.dumps(message).encode()


def received(message: bytes) -> int:
    return Decoder().envelopes([message]).received


def test_one_event_counts_as_one() -> None:
    assert count_events(envelope(json.dumps(EVENT).encode())) == 1


@pytest.mark.parametrize("n", [0, 1, 2, 10, 24])
@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
def test_a_batch_counts_its_events(n: int, separators: tuple[str, str]) -> None:
    assert count_events(envelope(json.dumps([EVENT] * n, separators=separators).encode())) == n


def test_what_looks_like_events_inside_an_event_does_not_count() -> None:
    nested = EVENT | {
        "type": "task-progress",
        "parts": [{"type": "task-x"}, {"type": "task-y"}],
        "say": '"type": "task-z"',
    }
    message = envelope(json.dumps([nested, EVENT]).encode())
    assert count_events(message) == received(message) == 2


POISON = [
    b"[NaN]",
    b'[{"type": "task-failed", "x": NaN}, {}]',
    b'[{"a": "\\udc80"}, 3, null]',
    b"[1, 2",
    b"{}",
    b" [1, 2]",
    b"\n{}",
    b"[" * 5000,
    b"[" * 900 + b"]" * 900,
    '[{"a": "é"}, 2]'.encode(),
    b'[{"a": "\xff"}, 2]',
    b"",
    b"null",
    msgspec.msgpack.encode([EVENT, EVENT]),
    b"\x80\x04pickle",
    b"x",
    b"[]",
]


@pytest.mark.parametrize("content_type", ["application/json", "application/x-msgpack", "application/x-yaml", None])
@pytest.mark.parametrize("encoding", ["base64", "utf-8", None])
@pytest.mark.parametrize("body", POISON)
def test_poison_counts_as_the_decoder_counts_it(body: bytes, content_type: str | None, encoding: str | None) -> None:
    message = envelope(body, content_type, encoding)
    assert count_events(message) == received(message)


@pytest.mark.parametrize(
    "message", [b"", b"{", b"null", b'{"body": 3}', b'{"body": "e', b'{"body": "W', b"\xff\xfe", b"[]"]
)
def test_what_is_no_envelope_counts_as_one(message: bytes) -> None:
    assert count_events(message) == received(message) == 1


_items = st.one_of(
    st.just(EVENT), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2), st.none(), st.text(max_size=5)
)


@given(
    value=st.one_of(_items, st.lists(_items, max_size=30)),
    cut=st.integers(0, 40),
    content_type=st.sampled_from(["application/json", "application/x-msgpack", "text/plain"]),
    ascii_only=st.booleans(),
)
def test_any_message_counts_as_the_decoder_counts_it(value: Any, cut: int, content_type: str, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    whole = envelope(body, content_type)
    torn = envelope(body[: max(0, len(body) - cut)], content_type)
    assert count_events(whole) == received(whole)
    assert count_events(torn) == received(torn)
