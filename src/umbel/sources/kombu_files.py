"""kombu's file system transport, reading messages only once they are wholly written.

kombu's own channel takes a file away as soon as it is there, so a message that is being written just then comes out
empty and is lost. It also lists the directory again for each message.
"""

from __future__ import annotations

import fcntl
import os
from collections import deque
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import filesystem
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads


class FileChannel(filesystem.Channel):
    """Reads files in the order of their names, which begin with the millisecond of their making."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._names: deque[str] = deque()

    def _get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ARG002 (as the transport's contract has it)
        """The next message; raises `Empty`."""
        folder = Path(self.data_folder_in)
        if not self._names:
            wanted = f"{queue}.msg"
            names = (entry.name for entry in os.scandir(folder))
            self._names.extend(sorted(name for name in names if name.partition(".")[2] == wanted))
        while self._names:
            raw = _read_whole(folder / self._names.popleft())
            if raw:
                return loads(bytes_to_str(raw))
        raise Empty


def _read_whole(path: Path) -> bytes:
    """The file's bytes, and the file removed; b"" for one that is not written yet or is gone."""
    try:
        with path.open("rb") as file:
            # The writer locks the file before it writes, and writes all at once.
            if os.fstat(file.fileno()).st_size == 0:
                return b""
            fcntl.flock(file, fcntl.LOCK_SH)
            raw = file.read()
        path.unlink()
    except FileNotFoundError:
        return b""
    return raw


class FileTransport(filesystem.Transport):
    """The transport with that channel."""

    Channel = FileChannel
