"""Tells apart what may be shed from what must be kept, down to single events in a batched message."""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from umbel.buffer.notes import Notes
from umbel.model.decode import Decoder
from umbel.model.event import CLASS_OF_TYPE, AnyEvent, CustomEvent, EventClass, KnownEvent, class_of_type

log = logging.getLogger(__name__)

#: At which level of shedding a class goes; above `ALL_BUT_TERMINAL` it is the caller who drops, not the sieve.
RANK: Final = {
    EventClass.HEARTBEAT: 1,
    EventClass.QUEUED: 2,
    EventClass.RUNNING: 3,
    # It may be anything: worth more than what is known to be lesser.
    EventClass.UNKNOWN: 3,
    EventClass.TERMINAL: 4,
}
ALL_BUT_TERMINAL: Final = 3
#: Below this level a worker's newest heartbeat stays.
NO_HEARTBEATS: Final = 3
#: Workers whose latest heartbeat is remembered; the oldest is forgotten first.
WORKERS: Final = 10_000
_CLASS: Final[dict[type, EventClass]] = {
    type_: CLASS_OF_TYPE[type_.__struct_config__.tag] for type_ in get_args(KnownEvent)
}


class Heartbeats:
    """Spares one heartbeat of each worker process in a span of time: the newest, if asked from back to front."""

    def __init__(self, every: float) -> None:
        """`every`: seconds for which one is enough."""
        self._every = every
        self._spared: dict[tuple[str, int | None], float] = {}

    def spare(self, event: AnyEvent, at: float) -> bool:
        """Whether to keep this heartbeat, captured at `at`."""
        key = (event.hostname, event.pid)
        last = self._spared.get(key)
        if last is not None and abs(at - last) < self._every:
            return False
        self._spared.pop(key, None)
        self._spared[key] = at
        if len(self._spared) > WORKERS:
            self._spared.pop(next(iter(self._spared)))
        return True


@dataclass(slots=True)
class Sifted:
    """What is left of a message, None for nothing, and the events taken out by class."""

    message: bytes | None
    dropped: dict[EventClass, int] = field(default_factory=dict)


class Sieve:
    """Takes the lesser events out of messages."""

    def __init__(self) -> None:
        # Texts are not cut: the events only tell their class.
        self._decoder = Decoder(text_limit=1 << 62)

    def messages(
        self, messages: list[bytes], level: int, at: float, heartbeats: Heartbeats, notes: Notes
    ) -> dict[int, bytes]:
        """What is left of `messages` by index, in order; what is taken out is counted in `notes`."""
        left: dict[int, bytes] = {}
        for index in range(len(messages) - 1, -1, -1):
            sifted = self.message(messages[index], level, at, heartbeats)
            for event_class, count in sifted.dropped.items():
                notes.add(event_class, count, at)
            if sifted.message is not None:
                left[index] = sifted.message
        return dict(reversed(left.items()))

    def message(self, message: bytes, level: int, at: float, heartbeats: Heartbeats) -> Sifted:
        """Take every event of rank `level` or less out of one message; a message without events goes uncounted."""
        decoded = self._decoder.envelopes((message,))
        classes = [_class_of(event) for event in decoded.events]
        keep = [RANK[event_class] > level for event_class in classes]
        if level < NO_HEARTBEATS:
            for index in range(len(keep) - 1, -1, -1):
                if classes[index] is EventClass.HEARTBEAT:
                    keep[index] = keep[index] or heartbeats.spare(decoded.events[index], at)
        classes += [refused.event_class for refused in decoded.refused]
        keep += [RANK[refused.event_class] > level for refused in decoded.refused]
        if classes and all(keep):
            return Sifted(message)
        dropped: dict[EventClass, int] = {}
        for event_class, stays in zip(classes, keep, strict=True):
            if not stays:
                dropped[event_class] = dropped.get(event_class, 0) + 1
        if not any(keep):
            return Sifted(None, dropped)
        # What could not be decoded has lost its place among the others: such a message stays whole.
        rewritten = None if decoded.refused else _rewrite(message, keep)
        return Sifted(message) if rewritten is None else Sifted(rewritten, dropped)

    def count(self, message: bytes) -> dict[EventClass, int]:
        """The events in a message by class, as the collector would count them."""
        decoded = self._decoder.envelopes((message,))
        counts: dict[EventClass, int] = {}
        for event_class in [*map(_class_of, decoded.events), *(refused.event_class for refused in decoded.refused)]:
            counts[event_class] = counts.get(event_class, 0) + 1
        return counts


def _class_of(event: AnyEvent) -> EventClass:
    return class_of_type(event.type) if isinstance(event, CustomEvent) else _CLASS[type(event)]


def _rewrite(message: bytes, keep: list[bool]) -> bytes | None:
    """The message with only some of its events; None where it has another form than kombu's JSON."""
    try:
        envelope: dict[str, Any] = json.loads(message.decode(errors="surrogatepass"))
        properties = envelope.get("properties")
        encoded = isinstance(properties, dict) and properties.get("body_encoding") == "base64"
        body: str = envelope["body"]
        text = base64.b64decode(body).decode(errors="surrogatepass") if encoded else body
        events = [event for event, stays in zip(json.loads(text), keep, strict=True) if stays]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        log.debug("a message of %d bytes cannot be rewritten: %s", len(message), error)
        return None
    text = _text(events)
    envelope["body"] = base64.b64encode(text.encode(errors="surrogatepass")).decode() if encoded else text
    return _text(envelope).encode(errors="surrogatepass")


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
