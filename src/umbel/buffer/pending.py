"""Notes that are not in a frame yet, kept in place in a file of fixed size: on a full disk it needs no room.

Two slots are written in turn, so that one is whole whatever happens. `intent` closes the window between writing the
notes into a frame and forgetting them here: if the spool reaches beyond that sequence number, the frame was written.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

from umbel.buffer import notes as notes_
from umbel.buffer.files import Files
from umbel.buffer.marks import PAGE
from umbel.buffer.notes import Notes

#: Bytes of a slot: room for every class of shed events and `HELD` entries of the greatest length.
SLOT: Final = 65_536
#: Bytes that the slots take after the page of counters.
ROOM: Final = 2 * SLOT
#: magic, bytes of the text, generation, crc32 of the text.
_SLOT: Final = struct.Struct("<4sIQI")
_MAGIC: Final = b"UmbP"


@dataclass(slots=True)
class Pending:
    """What must not be forgotten, and the machine's boot in which it was said."""

    notes: Notes = field(default_factory=Notes)
    #: Events captured that these notes stand for.
    events: int = 0
    #: The sequence number of the frame that is about to take the notes; 0 for none.
    intent: int = 0
    #: Tells whether what was written before may have been lost with the machine.
    boot: str = ""


class PendingFile:
    """The two slots, behind the first page of the file `fd`."""

    def __init__(self, fd: int, files: Files) -> None:
        """Nothing is read yet."""
        self._fd = fd
        self._files = files
        self._generation = 0

    def load(self) -> Pending:
        """The newest that was saved whole; nothing where none was."""
        found = [slot for slot in (self._slot(0), self._slot(1)) if slot is not None]
        if not found:
            return Pending()
        self._generation, pending = max(found, key=lambda slot: slot[0])
        return pending

    def save(self, pending: Pending) -> None:
        """Keep `pending`; raises `OSError`."""
        value = {
            "notes": notes_.to_value(pending.notes),
            "events": pending.events,
            "intent": pending.intent,
            "boot": pending.boot,
        }
        raw = json.dumps(value, separators=(",", ":")).encode()
        self._generation += 1
        header = _SLOT.pack(_MAGIC, len(raw), self._generation, crc32(raw))
        self._files.write(self._fd, (header, raw), PAGE + SLOT * (self._generation % 2))

    def _slot(self, index: int) -> tuple[int, Pending] | None:
        raw = os.pread(self._fd, SLOT, PAGE + SLOT * index)
        if len(raw) < _SLOT.size:
            return None
        magic, size, generation, crc = _SLOT.unpack_from(raw)
        text = raw[_SLOT.size : _SLOT.size + size]
        if magic != _MAGIC or len(text) != size or crc32(text) != crc:
            return None
        value = json.loads(text)
        return generation, Pending(notes_.from_value(value["notes"]), value["events"], value["intent"], value["boot"])
