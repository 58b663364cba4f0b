"""Rewrites a segment without its lesser events; what is left carries the count of what was taken out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from umbel.buffer.frame import DELTA_MAX, Frame
from umbel.buffer.notes import Notes
from umbel.buffer.segments import SegmentFile
from umbel.buffer.sieve import Heartbeats, Sieve

#: Bytes of messages that frames are joined up to.
JOINED: Final = 1 << 18


@dataclass(slots=True)
class Remains:
    """The frames of a segment once sifted, and what was taken out of them."""

    frames: list[Frame]
    shed: Notes = field(default_factory=Notes)

    @property
    def bytes(self) -> int:
        """About what the frames take, once joined."""
        return sum(sum(map(len, frame.messages)) + 8 * len(frame.messages) for frame in self.frames)


def sift(segment: SegmentFile, level: int, sieve: Sieve) -> Remains | None:
    """What is left of a segment at `level` (0: all of it); None where not one frame in it is sound.

    Holds the segment in memory once, and beside it what is left. Raises `OSError`.
    """
    segment.load()
    offsets = _offsets(segment)
    if not offsets:
        return None
    segment.load()
    remains = Remains([])
    # From back to front, so that the heartbeat that stays is a worker's newest.
    heartbeats = Heartbeats(math.inf)
    for offset in reversed(offsets):
        segment.offset = offset
        frame = segment.frame()
        if frame is not None:
            if level:
                _sift(frame, level, sieve, heartbeats, remains.shed)
            remains.frames.append(frame)
    remains.frames.reverse()
    return remains


def _offsets(segment: SegmentFile) -> list[int]:
    """Where the sound frames begin."""
    offsets: list[int] = []
    while True:
        offset = segment.offset
        if segment.frame() is not None:
            offsets.append(offset)
        elif not segment.resync():
            return offsets


def _sift(frame: Frame, level: int, sieve: Sieve, heartbeats: Heartbeats, shed: Notes) -> None:
    notes = Notes()
    left = sieve.messages(frame.messages, level, frame.captured_at, heartbeats, notes)
    if len(left) < len(frame.messages):
        frame.seqs = [frame.seq(index) for index in left]
    frame.messages = list(left.values())
    frame.notes.update(notes)
    shed.update(notes)


def joined(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The same in fewer frames; one that was seen already (a merge that was cut short leaves such) is left out."""
    held: Frame | None = None
    size = 0
    for frame in frames:
        if held is not None and frame.first <= held.last:
            continue
        add = sum(map(len, frame.messages))
        if held is None or size + add > JOINED or not _touch(held, frame):
            if held is not None:
                yield held
            held, size = frame, add
            continue
        _join(held, frame)
        size += add
    if held is not None:
        yield held


def _touch(one: Frame, other: Frame) -> bool:
    """Whether no frame is missing between them, and one frame can number both."""
    return other.events_before == one.events_before + one.events and other.last - one.first <= DELTA_MAX


def _join(one: Frame, other: Frame) -> None:
    seqs = [frame.seq(index) for frame in (one, other) for index in range(len(frame.messages))]
    one.messages += other.messages
    one.seqs = seqs
    one.last = other.last
    one.events += other.events
    one.captured_at = min(one.captured_at, other.captured_at)
    one.notes.update(other.notes)
