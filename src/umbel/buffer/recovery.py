"""What a writer finds when it opens the spool: where to go on, and what the last one's death left torn."""

from __future__ import annotations

import contextlib
import logging
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from umbel.buffer.frame import SEGMENT_HEADER, Damaged, SegmentHeader
from umbel.buffer.marks import Cells, Read, Written
from umbel.buffer.segments import SegmentFile, list_segments, set_aside

log = logging.getLogger(__name__)

#: How far sequence numbers jump where some may have been given out that the disk does not know of.
JUMP: Final = 1 << 32
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(slots=True)
class Segment:
    """What the writer knows of a segment."""

    path: Path
    first: int
    size: int
    captured_at: float
    #: Classes up to this rank are not in it.
    level: int = 0
    #: All of it is in the segment before too, and it could not be deleted.
    double: bool = False


@dataclass(slots=True)
class Found:
    """Where to go on."""

    spool: int = 0
    next_seq: int = 1
    #: The sequence number that would follow the last one written: at most `next_seq`.
    reached: int = 1
    #: Events in all frames so far.
    events: int = 0
    #: Wall time at which the last message was captured, 0 for none.
    captured_at: float = 0.0
    #: The oldest first.
    segments: list[Segment] = field(default_factory=list)
    #: Whether the last segment may be gone on with: its size says where.
    reusable: bool = False


def boot_id() -> str:
    """Another one after each start of the machine, which may have forgotten what was not synced; "" if not known."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def recover(directory: Path, written: Cells, read: Cells, now: float, boot: str) -> Found:
    """Look through the spool in `directory`; `boot` is the boot that its last writer ran in."""
    found, damaged = Found(spool=written[Written.SPOOL]), False
    segments = _without_doubles(list_segments(directory))
    while segments:
        first, path = segments[-1]
        if _last(found, path, first):
            break
        damaged = True
        segments.pop()
        if path.stat().st_size > SEGMENT_HEADER:
            set_aside(path, now, "no frame in it is sound")
        else:
            # Its writer died while it made the file: nothing was in it.
            path.unlink()
    closed = [_closed(first, path) for first, path in segments[:-1]]
    found.segments = [segment for segment in closed if segment is not None] + found.segments
    known = found.spool != 0
    if not known:
        found.spool = secrets.randbits(63) | 1
    if found.spool == written[Written.SPOOL]:
        found.next_seq = max(found.next_seq, written[Written.NEXT])
        # More than the segments hold: those events are lost, and the next frame's count will say so to the reader.
        found.events = max(found.events, written[Written.EVENTS])
        found.captured_at = max(found.captured_at, written[Written.CAPTURED] / 1e6)
    found.next_seq = max(found.next_seq, read[Read.COMMITTED] + 1, read[Read.HANDED_OUT] + 1)
    found.reached = found.next_seq
    if known and (damaged or not boot or boot != boot_id()):
        found.next_seq += JUMP
    return found


def _without_doubles(segments: list[tuple[int, Path]]) -> list[tuple[int, Path]]:
    """Delete what a writer that died had merged into the segment before."""
    kept: list[tuple[int, Path]] = []
    reached = 0
    for first, path in segments:
        if first <= reached:
            log.warning("spool segment %s was merged into another before the last writer died; it is deleted", path)
            path.unlink()
            continue
        kept.append((first, path))
        # A reader may delete it meanwhile.
        with contextlib.suppress(Damaged, FileNotFoundError), contextlib.closing(SegmentFile(path)) as segment:
            reached = max(reached, segment.header().last)
    return kept


def _last(found: Found, path: Path, first: int) -> bool:
    """Read the newest segment through; False where it holds nothing that can be read."""
    segment = SegmentFile(path)
    try:
        try:
            header, intact = segment.header(), True
        except Damaged as damage:
            log.error("spool segment %s: %s", path, damage)  # noqa: TRY400
            header, intact = SegmentHeader(found.spool, first, 0, 0.0), False
        found.spool = header.spool or found.spool
        found.next_seq, found.events, found.captured_at = first, header.events_before, header.captured_at
        sound = _frames(found, segment)
        if not intact and not sound:
            return False
        if segment.size() > segment.offset:
            log.warning("the last %d bytes of spool segment %s are torn", segment.size() - segment.offset, path)
        # An empty segment that bytes follow is one whose first frame was torn: it is gone on with.
        found.segments = [Segment(path, first, segment.offset, header.captured_at)]
        found.reusable = intact
        return True
    finally:
        segment.close()


def _frames(found: Found, segment: SegmentFile) -> bool:
    """Take the numbers of all sound frames; whether there was one."""
    sound = False
    while True:
        frame = segment.frame()
        if frame is not None:
            found.next_seq, found.captured_at = frame.last + 1, frame.captured_at
            found.events = frame.events_before + frame.events
            sound = True
        elif not segment.resync():
            return sound


def _closed(first: int, path: Path) -> Segment | None:
    """What can be told of a closed segment without reading it through; None where a reader has just deleted it."""
    try:
        segment = SegmentFile(path)
    except FileNotFoundError:
        return None
    size = segment.size()
    try:
        header = segment.header()
    except Damaged as damage:
        log.warning("spool segment %s: %s", path, damage)
        return Segment(path, first, size, 0.0)
    finally:
        segment.close()
    return Segment(path, first, size, header.captured_at, header.level)
