"""Events to publish, encoded once and stamped when they are sent: unique task ids, the time now, a rising clock.

Encoding is what makes a publisher slow. So a block of whole tasks is encoded as RESP commands beforehand, with slots
where each lap differs. A slot starts at a multiple of three characters of the JSON text (spaces before the value see to
that) and so has characters of its own in the base64 that kombu puts around it: stamping is replacing bytes.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from load import envelope, events

#: Events stamped and sent together.
CHUNK: Final = 50
#: What kombu's Redis transport names the channel of a worker's messages with one or with several events.
SINGLE: Final = b"/0.celeryev/task.received"
MULTI: Final = b"/0.celeryev/task.multi"

_LAP, _CLOCK, _TIME = "@LAP1@", "@CLK1@", "@" * 15
_ENDS: Final = ("task-succeeded", "task-failed")
#: A value with a slot; its opening quote, what stands before the slot, the slot, what stands behind it.
_VALUE = re.compile(f'"([^"]*?)({_LAP}|{_CLOCK}|{_TIME})(\\d*)"')


class Block(NamedTuple):
    """Chunks of commands to stamp, and what is in them."""

    chunks: list[bytes]
    #: Messages and events of a chunk.
    messages: int
    #: Tasks that have begun in the chunks up to and including this one.
    tasks: list[int]
    #: One whole task, sent last; its messages and its id before stamping.
    tail: bytes
    tail_messages: int
    tail_id: str


def block(count: int, per_message: int) -> Block:
    """A block of about `count` events, all of them of tasks that end within it."""
    found = list(_whole(events(count)))
    found = found[: len(found) // CHUNK * CHUNK]
    chunks: list[bytes] = []
    begun: list[int] = []
    seen: set[str] = set()
    for chunk in _batched(found, CHUNK):
        chunks.append(_commands(chunk, per_message))
        seen.update(event["uuid"] for event in chunk)
        begun.append(len(seen))
    tail = list(_whole(events(5_000, seed=99)))
    last = [event for event in tail if event["uuid"] == tail[0]["uuid"]]
    return Block(chunks, -(-CHUNK // per_message), begun, _commands(last, 1), len(last), _slotted(last[0]["uuid"]))


def stamp(commands: bytes, lap: int, sequence: int, now: float) -> bytes:
    """Commands of lap `lap`, being the `sequence`th chunk of all, sent at `now`."""
    slots = ((_LAP, f"{lap:06x}"), (_CLOCK, f"{100_000 + sequence:06}"), (_TIME, f"{now:.4f}"))
    for slot, text in slots:
        commands = commands.replace(base64.b64encode(slot.encode()), base64.b64encode(text.encode()))
    return commands


def stamped_id(slotted: str, lap: int) -> str:
    """The id as it was published in lap `lap`."""
    return slotted.replace(_LAP, f"{lap:06x}")


def _batched(items: Sequence[dict[str, Any]], size: int) -> Iterator[Sequence[dict[str, Any]]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _whole(found: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Without the tasks that have no end."""
    every = list(found)
    ended = {event["uuid"] for event in every if event["type"] in _ENDS}
    return (event for event in every if event["uuid"] in ended)


def _slotted(id_: str) -> str:
    return id_[: -len(_LAP)] + _LAP


def _commands(chunk: Sequence[dict[str, Any]], per_message: int) -> bytes:
    prepared = [_with_slots(event, index) for index, event in enumerate(chunk)]
    return b"".join(
        _publish(MULTI if per_message > 1 else SINGLE, list(group) if per_message > 1 else group[0])
        for group in _batched(prepared, per_message)
    )


def _with_slots(event: dict[str, Any], index: int) -> dict[str, Any]:
    changed = event | {
        "clock": f"{_CLOCK}{index:02}",
        "timestamp": f"{_TIME}{index:04}",
        "uuid": _slotted(event["uuid"]),
    }
    return changed | {"root_id": _slotted(event["root_id"])} if event.get("root_id") else changed


def _publish(channel: bytes, body: Any) -> bytes:
    whole = json.loads(envelope(body))
    whole["body"] = base64.b64encode(_aligned(json.dumps(body)).encode()).decode()
    message = json.dumps(whole).encode()
    return b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(channel), channel, len(message), message)


def _aligned(text: str) -> str:
    """Spaces before each value with a slot, as many as its slot needs; numbers lose their quotes."""
    parts: list[str] = []
    length = end = 0
    for match in _VALUE.finditer(text):
        before, slot, after = match.groups()
        quote = '"' if slot == _LAP else ""
        parts.append(text[end : match.start()])
        length += len(parts[-1])
        pad = -(length + len(quote) + len(before)) % 3
        parts.append(" " * pad + quote + before + slot + after + quote)
        length += len(parts[-1])
        end = match.end()
    return "".join([*parts, text[end:]])
