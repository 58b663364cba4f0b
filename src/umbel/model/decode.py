"""From the bytes on the wire to events; what cannot be decoded is refused with its reason and its bytes.

A message is either a kombu virtual envelope (Redis: JSON with a base64 body) or a bare body (AMQP). A body is one
event, or a list of up to 24 of them (`task.multi`), which may be empty. The fast decoder sees every message first;
what it refuses (NaN, lone surrogates, unknown types, one bad event among good ones) is taken apart by the standard
library. Only JSON and msgpack are read: pickle and YAML could run code.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from umbel.model.event import (
    CLASS_OF_TYPE,
    AnyEvent,
    Count,
    CustomEvent,
    EventClass,
    Hostname,
    KnownEvent,
    TaskFailed,
    TaskId,
    TaskReceived,
    TaskRetried,
    TaskSent,
    TaskSucceeded,
    Timestamp,
    class_of_type,
)
from umbel.model.ledger import Reason

JSON: Final = "application/json"
MSGPACK: Final = "application/x-msgpack"
#: Bytes of one text (arguments, result, traceback, ...) kept unless set otherwise.
TEXT_LIMIT: Final = 65_536
#: Bytes of a refused message kept in the quarantine.
RAW_LIMIT: Final = 65_536
#: Texts of events that have no bound of their own, by class.
_TEXTS: Final[dict[type[AnyEvent], tuple[str, ...]]] = {
    TaskSent: ("args", "kwargs"),
    TaskReceived: ("args", "kwargs"),
    TaskSucceeded: ("result",),
    TaskFailed: ("exception", "traceback"),
    TaskRetried: ("exception", "traceback"),
    CustomEvent: ("fields",),
}
#: Fields of the envelope common to all events, not part of a custom event's own.
_ENVELOPE_FIELDS: Final = frozenset({"type", "hostname", "timestamp", "pid", "clock", "utcoffset", "uuid"})


@dataclass(frozen=True, slots=True)
class Refused:
    """One event, or one message that could not be split into events."""

    reason: Reason
    event_class: EventClass
    error: str
    content_type: str
    #: The bytes as they came, cut at `RAW_LIMIT`.
    raw: bytes


@dataclass(slots=True)
class Decoded:
    """What a run of messages held: `received == len(events) + len(refused)`."""

    events: list[AnyEvent] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    @property
    def received(self) -> int:
        """Events, refused ones included; a message that could not be split counts as one."""
        return len(self.events) + len(self.refused)


class _Properties(msgspec.Struct, gc=False):
    body_encoding: str | None = None


class _Envelope(msgspec.Struct, gc=False, rename={"content_type": "content-type"}):
    """kombu's virtual message; msgspec turns the base64 body into bytes."""

    body: bytes
    properties: _Properties
    content_type: str | None = JSON


class _Common(msgspec.Struct, gc=False):
    """The fields of a custom event that are Celery's."""

    hostname: Hostname
    timestamp: Timestamp
    pid: Count | None = None
    clock: Count | None = None
    uuid: TaskId | None = None


class _Malformed(Exception):
    """Why a message or event cannot be used."""


_KnownBody = KnownEvent | list[KnownEvent]


class Decoder:
    """Decodes messages; holds no state but its limits, so one may be shared."""

    def __init__(self, text_limit: int = TEXT_LIMIT) -> None:
        #: Bytes of UTF-8 kept of each text.
        self.text_limit = text_limit
        self._envelope: Callable[[bytes], _Envelope] = msgspec.json.Decoder(_Envelope).decode
        self._json: Callable[[bytes], KnownEvent | list[KnownEvent]] = msgspec.json.Decoder(_KnownBody).decode
        self._msgpack: Callable[[bytes], KnownEvent | list[KnownEvent]] = msgspec.msgpack.Decoder(_KnownBody).decode

    def envelopes(self, messages: Iterable[bytes]) -> Decoded:
        """Decode kombu virtual envelopes, as Redis carries them."""
        out = Decoded()
        append, extend = out.events.append, out.events.extend
        read_envelope, read_body, limit = self._envelope, self._json, self.text_limit
        for message in messages:
            try:
                envelope = read_envelope(message)
                body = envelope.body
                if envelope.content_type != JSON or envelope.properties.body_encoding != "base64" or len(body) > limit:
                    self._slow_envelope(message, out)
                    continue
                got = read_body(body)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                self._slow_envelope(message, out)
                continue
            if type(got) is list:
                extend(got)
            else:
                append(got)  # type: ignore[arg-type]
        return out

    def bodies(self, messages: Iterable[tuple[bytes, str]]) -> Decoded:
        """Decode bare bodies, each with its content type, as AMQP carries them."""
        out = Decoded()
        append, extend = out.events.append, out.events.extend
        read_body, limit = self._json, self.text_limit
        for body, content_type in messages:
            if content_type != JSON or len(body) > limit:
                self._body(body, content_type, out)
                continue
            try:
                got = read_body(body)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                self._body(body, content_type, out)
                continue
            if type(got) is list:
                extend(got)
            else:
                append(got)  # type: ignore[arg-type]
        return out

    def _slow_envelope(self, message: bytes, out: Decoded) -> None:
        try:
            body, content_type = _open_envelope(message)
        except _Malformed as error:
            out.refused.append(_refuse(Reason.MALFORMED, str(error), JSON, message))
            return
        self._body(body, content_type, out)

    def _body(self, body: bytes, content_type: str, out: Decoded) -> None:
        """Decode one body of any size and type, event by event where it must be."""
        read = {JSON: self._json, MSGPACK: self._msgpack}.get(content_type)
        if read is None:
            error = f"content type {content_type!r} is not read; set event_serializer to 'json'"
            out.refused.append(_refuse(Reason.CONTENT_TYPE, error, content_type, body))
            return
        try:
            got = read(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._slow_body(body, content_type, out)
            return
        events = got if isinstance(got, list) else [got]
        out.events.extend([self._cut(event) for event in events])

    def _slow_body(self, body: bytes, content_type: str, out: Decoded) -> None:
        try:
            value = _loads(body, content_type)
        except _Malformed as error:
            out.refused.append(_refuse(Reason.MALFORMED, str(error), content_type, body))
            return
        for item in value if isinstance(value, list) else [value]:
            try:
                out.events.append(self._cut(_event(item)))
            except _Malformed as error:
                raw = _dumps(item)
                out.refused.append(_refuse(Reason.MALFORMED, str(error), JSON, raw, _class_of(item)))

    def _cut(self, event: AnyEvent) -> AnyEvent:
        """Cut the event's texts to `text_limit` bytes, marked; the mark is not counted."""
        cuts = {}
        for name in _TEXTS.get(type(event), ()):
            text: str | None = getattr(event, name)
            if text is not None and len(text) * 4 > self.text_limit:
                short = cut(text, self.text_limit)
                if short is not text:
                    cuts[name] = short
        return msgspec.structs.replace(event, **cuts) if cuts else event


def cut(text: str, limit: int) -> str:
    """`text` itself if it has at most `limit` bytes of UTF-8, else its beginning and a mark with its whole size."""
    raw = text.encode()
    if len(raw) <= limit:
        return text
    return f"{raw[:limit].decode(errors='ignore')}… [cut: {len(raw):,} bytes]"


def _refuse(
    reason: Reason, error: str, content_type: str, raw: bytes, event_class: EventClass = EventClass.UNKNOWN
) -> Refused:
    return Refused(reason, event_class, error[:1000], content_type[:200], raw[:RAW_LIMIT])


def _open_envelope(message: bytes) -> tuple[bytes, str]:
    """The body and content type of a kombu virtual message, read leniently; raises `_Malformed`."""
    envelope = _loads(message, JSON)
    if not isinstance(envelope, dict) or not isinstance(envelope.get("body"), str):
        raise _Malformed("not a kombu message: an object with a text `body` was expected")
    properties = envelope.get("properties")
    encoding = properties.get("body_encoding") if isinstance(properties, dict) else None
    content_type = envelope.get("content-type") or JSON
    body: str = envelope["body"]
    if encoding != "base64":
        return body.encode(errors="surrogatepass"), str(content_type)
    try:
        return base64.b64decode(body, validate=True), str(content_type)
    except (binascii.Error, ValueError) as error:
        raise _Malformed(f"the body is not base64: {error}") from error


def _loads(raw: bytes, content_type: str) -> Any:
    try:
        if content_type == MSGPACK:
            return msgspec.msgpack.decode(raw)
        return json.loads(raw.decode(errors="surrogatepass"))
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise _Malformed(f"not {content_type}: {error}") from error


def _dumps(value: Any) -> bytes:
    try:
        return json.dumps(value, default=repr).encode(errors="backslashreplace")
    except (ValueError, TypeError, RecursionError):
        return repr(value)[:RAW_LIMIT].encode(errors="backslashreplace")


def _class_of(item: Any) -> EventClass:
    type_ = item.get("type") if isinstance(item, dict) else None
    return class_of_type(type_) if isinstance(type_, str) else EventClass.UNKNOWN


def _event(item: Any) -> AnyEvent:
    """One event from a plain mapping; raises `_Malformed`."""
    if not isinstance(item, dict):
        raise _Malformed(f"an event is an object, not {type(item).__name__}")
    type_ = item.get("type")
    if not isinstance(type_, str) or not type_:
        raise _Malformed("an event has a text `type`")
    try:
        clean = _clean(item)
        if type_ in CLASS_OF_TYPE:
            known: KnownEvent = msgspec.convert(clean, KnownEvent)
            return known
        return _custom(clean["type"], clean)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise _Malformed(f"{type_[:100]}: {error}") from error


def _custom(type_: str, item: dict[str, Any]) -> CustomEvent:
    own = {key: value for key, value in item.items() if key not in _ENVELOPE_FIELDS}
    common = msgspec.convert(item, _Common)
    return CustomEvent(
        type=type_[:200],
        hostname=common.hostname,
        timestamp=common.timestamp,
        pid=common.pid,
        clock=common.clock,
        uuid=common.uuid,
        fields=json.dumps(own, sort_keys=True, ensure_ascii=False, default=str, separators=(",", ":")),
    )


def _clean(value: Any) -> Any:
    """The same value as strict JSON and UTF-8 can hold: NaN and infinities become null, lone surrogates are escaped."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="backslashreplace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_clean(str(key)): _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value
