"""A recording on disk as a source, for `umbel replay FILE`, and its recorder.

One message a line: an event (a JSON object), a list of events, or a kombu envelope; `.gz` is read and written
compressed. What cannot be understood is passed on as it is: the decoder puts it into quarantine.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import zlib
from pathlib import Path
from typing import IO, Final, cast

import msgspec

from umbel.clock import Clock, SystemClock
from umbel.errors import SourceError
from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Reason
from umbel.settings import GIB, MIB
from umbel.sources.base import Batch, Limits, SourceStatus

#: Bytes of one line; the rest of a longer one is skipped, so its beginning ends in the quarantine.
LINE_BYTES: Final = 16 * MIB
JSON: Final = "application/json"


class _Properties(msgspec.Struct):
    body_encoding: str | None = None


class _Envelope(msgspec.Struct, rename={"content_type": "content-type"}):
    """As much of kombu's virtual message as is needed to open it."""

    body: str
    properties: _Properties
    content_type: str | None = None


_read_envelope = msgspec.json.Decoder(_Envelope).decode


def message_of(line: bytes) -> tuple[bytes, str]:
    """The body and content type that a line of a recording holds; the line itself where it is no envelope."""
    if b'"properties"' not in line:
        return line, JSON
    try:
        envelope = _read_envelope(line)
        if envelope.properties.body_encoding == "base64":
            return base64.b64decode(envelope.body, validate=True), envelope.content_type or JSON
    except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, ValueError):
        return line, JSON
    return envelope.body.encode(), envelope.content_type or JSON


def _open(path: Path, mode: str) -> IO[bytes]:
    stream = gzip.open(path, mode) if path.suffix == ".gz" else path.open(mode)  # noqa: SIM115 (its owner closes it)
    return cast("IO[bytes]", stream)


class RecordingSource:
    """A `Source` that reads a file once; its position is an offset into the uncompressed bytes."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._path = path.resolve()
        self._clock = clock or SystemClock()
        self.name = f"recording:{self._path}"
        self._file: IO[bytes] | None = None
        self._at_end = False
        #: Where the latest message given ends, and a line read that had no room in its batch.
        self._offset = 0
        self._held = b""
        self._error = ""
        self._since = self._clock.now()

    def open(self, position: str | None) -> None:
        try:
            self._file = _open(self._path, "rb")
            self._offset = int(position) if position else 0
            self._file.seek(self._offset)
        except (OSError, EOFError, zlib.error) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise SourceError(f"the recording {self._path} cannot be read: {reason}") from error
        self._since = self._clock.now()

    def poll(self, limits: Limits) -> Batch:
        bodies: list[tuple[bytes, str]] = []
        ledger: list[LedgerEntry] = []
        size = 0
        while len(bodies) < limits.messages:
            line = self._held or self._line(ledger)
            self._held = b""
            size += len(line)
            if bodies and size > limits.bytes:
                self._held = line
                break
            if self._at_end and not line:
                break
            self._offset += len(line)
            if line.strip():
                bodies.append(message_of(line.strip()))
        if not bodies and not ledger:
            return Batch()
        # Beyond damage there is nothing to go on from.
        position = None if self._error else str(self._offset)
        return Batch(bodies=bodies, position=position, captured_at=self._clock.now(), ledger=ledger)

    def commit(self, position: str) -> None:
        """Nothing to acknowledge: the file stays as it is."""

    def finished(self) -> bool:
        return self._at_end and not self._held

    def status(self) -> SourceStatus:
        return SourceStatus(connected=self._file is not None, since=self._since, error=self._error)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def _line(self, ledger: list[LedgerEntry]) -> bytes:
        """The next line with its end; b"" at the end of the file."""
        try:
            line = self._read()
        except (OSError, EOFError, zlib.error) as error:
            self._at_end = True
            self._error = f"the recording {self._path} is damaged from here on: {error}"
            now = self._clock.now()
            entry = LedgerEntry(Reason.DAMAGED, EventClass.UNKNOWN, now, now, 0, estimated=True, detail=self._error)
            ledger.append(entry)
            return b""
        self._at_end = not line
        return line

    def _read(self) -> bytes:
        """One line; what it has beyond the bound is skipped."""
        if self._file is None:
            return b""
        line = rest = self._file.readline(LINE_BYTES)
        while len(rest) == LINE_BYTES and not rest.endswith(b"\n"):
            rest = self._file.readline(LINE_BYTES)
            self._offset += len(rest)
        return line


class Recorder:
    """Writes messages to a recording until it has `limit` bytes (uncompressed); says so from then on."""

    def __init__(self, path: Path, limit: int = GIB) -> None:
        self._path = path
        self._limit = limit
        #: Bytes written, before compression.
        self.bytes = 0
        #: Messages written, and those that found no room.
        self.written = 0
        self.refused = 0
        try:
            self._file = _open(path, "ab")
        except OSError as error:
            raise SourceError(f"the recording {path} cannot be written: {error.strerror}") from error

    def write(self, body: bytes, content_type: str = JSON) -> bool:
        """Append one message; False, and nothing written, where it would pass the limit."""
        plain = content_type == JSON and b"\n" not in body and b"\r" not in body and b'"properties"' not in body
        line = (body if plain and body.strip() == body and body else _wrap(body, content_type)) + b"\n"
        if self.bytes + len(line) > self._limit:
            self.refused += 1
            return False
        self._file.write(line)
        self.bytes += len(line)
        self.written += 1
        return True

    def close(self) -> None:
        """Finish the file; may be called twice."""
        self._file.close()


def _wrap(body: bytes, content_type: str) -> bytes:
    """A kombu envelope: what holds any bytes of any type in one line."""
    envelope = {
        "body": base64.b64encode(body).decode(),
        "content-type": content_type,
        "properties": {"body_encoding": "base64"},
    }
    return msgspec.json.encode(envelope)
