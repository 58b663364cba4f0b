"""The bytes of the spool: segment headers, and the frames that follow one another after it.

Everything is little-endian. A frame is a header of 64 bytes and a payload: the messages' lengths (u32 each), for a
frame that lost some of its messages their sequence numbers less the frame's first (u32 each), the messages, the notes
(JSON).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final
from zlib import crc32

from umbel.buffer import notes as notes_
from umbel.buffer.notes import Notes

FRAME_MAGIC: Final = b"UmbF"
SEGMENT_MAGIC: Final = b"UmbelSeg"
VERSION: Final = 1
#: The frame's messages do not have consecutive sequence numbers: they are listed.
SPARSE: Final = 1
#: magic, version, flags, 0, payload bytes, messages, bytes of notes, first and last sequence number, events, events
#: before this frame, captured at, crc32 of all that and of the payload.
_FRAME: Final = struct.Struct("<4sBBHIIIQQQQdI")
FRAME_HEADER: Final = _FRAME.size
#: magic, version, level it was compacted to, 0, spool id, first sequence number, the last one at the latest
#: compaction, events before it, captured at, crc32.
_SEGMENT: Final = struct.Struct("<8sHHIQQQQdI")
SEGMENT_HEADER: Final = _SEGMENT.size
_CRC: Final = struct.Struct("<I")
_FRAME_START: Final = FRAME_MAGIC + bytes([VERSION])
#: A payload that claims more than this is not one.
PAYLOAD_MAX: Final = 1 << 30
#: How far a sequence number may lie from its frame's first.
DELTA_MAX: Final = 2**32 - 1


class Damaged(Exception):
    """These bytes are not what they should be."""


@dataclass(slots=True)
class FrameHeader:
    """What a frame says of itself; `first` to `last` are the numbers that it accounts for, dropped ones included."""

    payload: int
    messages: int
    notes: int
    first: int
    last: int
    #: Events that this frame accounts for, in its messages and in its notes.
    events: int
    #: Events that all frames before it accounted for, since the spool was made.
    events_before: int
    captured_at: float
    sparse: bool
    crc: int

    @property
    def size(self) -> int:
        """Bytes of the whole frame."""
        return FRAME_HEADER + self.payload


@dataclass(slots=True)
class Frame:
    """One append, as it was or as compaction left it."""

    first: int
    last: int
    events: int
    events_before: int
    captured_at: float
    messages: list[bytes]
    #: The messages' sequence numbers; counted from `first` where None.
    seqs: Sequence[int] | None
    notes: Notes

    def seq(self, index: int) -> int:
        """The sequence number of a message."""
        return self.first + index if self.seqs is None else self.seqs[index]


def pack_frame(frame: Frame) -> tuple[bytes, bytes]:
    """The frame's header and payload."""
    messages, seqs = frame.messages, frame.seqs
    parts = [struct.pack(f"<{len(messages)}I", *map(len, messages))]
    if seqs is not None:
        parts.append(struct.pack(f"<{len(seqs)}I", *[seq - frame.first for seq in seqs]))
    notes = notes_.encode(frame.notes) if frame.notes else b""
    payload = b"".join((*parts, *messages, notes))
    flags = 0 if seqs is None else SPARSE
    header = _FRAME.pack(
        FRAME_MAGIC,
        VERSION,
        flags,
        0,
        len(payload),
        len(messages),
        len(notes),
        frame.first,
        frame.last,
        frame.events,
        frame.events_before,
        frame.captured_at,
        0,
    )
    crc = crc32(payload, crc32(header[: -_CRC.size]))
    return header[: -_CRC.size] + _CRC.pack(crc), payload


def parse_header(buffer: bytes, offset: int) -> FrameHeader:
    """The frame header at `offset`; raises `Damaged`. Its checksum is `parse_frame`'s to check."""
    (magic, version, flags, _, payload, messages, notes, first, last, events, before, at, crc) = _FRAME.unpack_from(
        buffer, offset
    )
    index = 8 if flags & SPARSE else 4
    if magic != FRAME_MAGIC or version != VERSION or payload > PAYLOAD_MAX or messages * index + notes > payload:
        raise Damaged("no frame begins here")
    return FrameHeader(payload, messages, notes, first, last, events, before, at, bool(flags & SPARSE), crc)


def parse_frame(buffer: bytes, offset: int, header: FrameHeader) -> Frame:
    """The whole frame at `offset`, which `buffer` holds; raises `Damaged`."""
    start, end = offset + FRAME_HEADER, offset + header.size
    view = memoryview(buffer)
    if crc32(view[start:end], crc32(view[offset : start - _CRC.size])) != header.crc:
        raise Damaged("the checksum is wrong")
    n, at = header.messages, start
    lengths = struct.unpack_from(f"<{n}I", buffer, at)
    at += 4 * n
    seqs: list[int] | None = None
    if header.sparse:
        seqs = [header.first + delta for delta in struct.unpack_from(f"<{n}I", buffer, at)]
        at += 4 * n
    places = list(accumulate(lengths, initial=at))
    if places[-1] + header.notes != end:
        raise Damaged("its parts do not add up")
    messages = [buffer[begin:stop] for begin, stop in pairwise(places)]
    try:
        notes = notes_.decode(buffer[places[-1] : end]) if header.notes else Notes()
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"its notes cannot be read: {error}") from error
    return Frame(
        header.first, header.last, header.events, header.events_before, header.captured_at, messages, seqs, notes
    )


def find_frame(buffer: bytes, start: int) -> int:
    """The offset of the next bytes that look like the beginning of a frame, or -1."""
    return buffer.find(_FRAME_START, start)


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment says of itself."""

    spool: int
    first: int
    events_before: int
    captured_at: float
    #: Classes up to this rank were taken out of it.
    level: int = 0
    #: The last sequence number in it when it was compacted; 0: it never was. Compaction may have merged others into it.
    last: int = 0


def pack_segment(header: SegmentHeader) -> bytes:
    """The segment header's bytes."""
    raw = _SEGMENT.pack(
        SEGMENT_MAGIC,
        VERSION,
        header.level,
        0,
        header.spool,
        header.first,
        header.last,
        header.events_before,
        header.captured_at,
        0,
    )
    return raw[: -_CRC.size] + _CRC.pack(crc32(raw[: -_CRC.size]))


def parse_segment(raw: bytes) -> SegmentHeader:
    """The segment header that `raw` begins with; raises `Damaged`."""
    if len(raw) < SEGMENT_HEADER:
        raise Damaged("the segment has no whole header")
    magic, version, level, _, spool, first, last, before, at, crc = _SEGMENT.unpack_from(raw)
    if magic != SEGMENT_MAGIC or crc32(raw[: SEGMENT_HEADER - _CRC.size]) != crc:
        raise Damaged("the segment's header cannot be read")
    if version != VERSION:
        raise Damaged(f"the segment has version {version}, not {VERSION}")
    return SegmentHeader(spool, first, before, at, level, last)
