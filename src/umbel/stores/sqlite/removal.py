"""Deletes large files beside the writer: a file system may take a tenth of a second and more for one."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Final

from umbel.stores.sqlite.files import delete, with_companions

#: Bytes of a file that is deleted at once: a few milliseconds.
SMALL: Final = 8 * 1024 * 1024

log: Final = logging.getLogger(__name__)


class Removal:
    """Files that are to go, one after the other."""

    def __init__(self) -> None:
        self._waiting: list[Path] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether files are still there that are to go."""
        return self._thread is not None

    def delete(self, file: Path) -> int:
        """Delete a file with its companions; the bytes that this frees. Raises `OSError` for a small one."""
        size = with_companions(file)
        if size < SMALL:
            return delete(file)
        with self._lock:
            self._waiting.append(file)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="removal", daemon=True)
                self._thread.start()
        return size

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                file = self._waiting.pop(0)
            try:
                delete(file)
            except OSError as error:
                log.warning("%s cannot be deleted, the next start tries again: %s", file, error.strerror or error)

    def wait(self) -> None:
        """Until all of them are gone."""
        thread = self._thread
        if thread is not None:
            thread.join()
