"""How each process fares, told through a small file of its own in the data directory.

The web must say that the collector or the store is stuck even when nothing reaches the store, so parts do not tell
through it. A file has one fixed size and is written in place: it needs no new blocks on a full disk.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

import msgspec

log = logging.getLogger(__name__)

#: Bytes of a status file.
SIZE: Final = 8_192
#: Seconds after which a status that was not renewed means that its process hangs or is gone.
STALE: Final = 5.0


class PartStatus(msgspec.Struct, kw_only=True):
    """What one process says of itself, about once a second."""

    #: receive, collect or web.
    part: str
    pid: int
    #: Wall time of the process's start and of this status, UTC seconds.
    started_at: float
    at: float
    #: ok, or what keeps it from working, in one line.
    error: str = ""
    #: Numbers by name, such as `spool_bytes`; see `metrics/names.py`.
    values: dict[str, float] = {}
    #: Texts by name, such as `broker`.
    texts: dict[str, str] = {}
    #: The machine, where another one told it through the store; and for how much longer it may then be silent, seconds.
    host: str = ""
    patience: float = 0.0

    def stale(self, now: float) -> bool:
        """Whether the process has not renewed it in time (a clock that steps back counts as fresh)."""
        return now - self.at > STALE + self.patience


class StatusFile:
    """Writes one part's status."""

    def __init__(self, directory: Path, part: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / f"{part}.status"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, status: PartStatus) -> None:
        """Replace the status; one that is too long loses its texts."""
        raw = msgspec.json.encode(status)
        if len(raw) > SIZE:
            raw = msgspec.json.encode(msgspec.structs.replace(status, texts={}, error=status.error[:1000]))
        os.pwrite(self._file, raw.ljust(SIZE), 0)

    def close(self, *, remove: bool) -> None:
        """Let go of the file; a process that stops cleanly removes it."""
        os.close(self._file)
        if remove:
            self._path.unlink(missing_ok=True)


class StatusBoard:
    """Reads what every part says."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self) -> dict[str, PartStatus]:
        """Status by part; one that is torn or absent is left out until its next second."""
        found: dict[str, PartStatus] = {}
        for path in sorted(self._directory.glob("*.status")):
            try:
                status = msgspec.json.decode(path.read_bytes().rstrip(), type=PartStatus)
            except (OSError, msgspec.MsgspecError) as error:
                log.debug("status file %s cannot be read just now: %s", path, error)
                continue
            found[status.part] = status
        return found


#: In `PartStatus.texts`: names of the files that a part has set aside, the newest first, with spaces between them.
SET_ASIDE: Final = "set_aside"
# What parts put into `PartStatus.values`: one name each, the same for every source.
CONNECTED: Final = "connected"
SINCE: Final = "since"
RECONNECTS: Final = "reconnects"
#: Events captured and not committed; bytes buffered on disk and their bound; when the oldest was captured.
BACKLOG: Final = "backlog_events"
BUFFER: Final = "buffer_bytes"
BUFFER_LIMIT: Final = "buffer_limit"
OLDEST: Final = "oldest_at"
#: Bytes that the broker holds for us because we have not read them, and that were read and are not buffered yet.
BROKER_BUFFER: Final = "broker_buffer_bytes"
READ_AHEAD: Final = "read_ahead_bytes"
#: Events since the process began.
CAPTURED: Final = "captured"
#: The collector's latest commit: seconds it took, wall time of its end, events in it.
COMMIT_SECONDS: Final = "commit_seconds"
COMMITTED_AT: Final = "committed_at"
COMMIT_EVENTS: Final = "commit_events"
#: Events decoded and not committed; messages that the next batch may have.
IN_HAND: Final = "in_hand"
BATCH_LIMIT: Final = "batch_limit"
#: Ended tasks: sent as traces, not sent though they were to be; bytes of those that wait. Spans of its own not sent.
TRACED: Final = "traced"
UNTRACED: Final = "untraced"
TRACE_QUEUE: Final = "trace_queue_bytes"
SPANS_DROPPED: Final = "spans_dropped"
#: Secrets hidden before they were stored, since the process began.
REDACTED: Final = "redacted"
