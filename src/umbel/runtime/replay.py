"""`umbel replay FILE`: a recording into the store, with progress on the terminal."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path

from umbel.clock import SystemClock
from umbel.ingest import Collector
from umbel.model.decode import Decoder
from umbel.runtime.parts import Part
from umbel.runtime.stores import open_writer, retention_of
from umbel.settings import Settings
from umbel.sources.recording import RecordingSource

log = logging.getLogger(__name__)

#: Seconds between two lines of progress.
PROGRESS = 1.0


def main(settings: Settings, file: str) -> int:
    """Store everything the file holds that was not stored from it before; 0 if that went well."""
    clock = SystemClock()
    with Part("replay", settings, clock) as part:
        collector = Collector(
            RecordingSource(Path(file)),
            open_writer(settings, clock),
            clock,
            decoder=Decoder(settings.text_bytes),
            retention=retention_of(settings),
            grace=settings.grace,
        )
        ended = threading.Event()
        teller = threading.Thread(target=_tell, args=(collector, ended), daemon=True)
        teller.start()
        began = clock.monotonic()
        try:
            collector.run(part.stop)
        finally:
            ended.set()
            teller.join()
    seconds = clock.monotonic() - began
    sys.stderr.write(f"replayed {collector.progress.events:,} events in {seconds:.1f} s\n")
    return 0


def _tell(collector: Collector, ended: threading.Event) -> None:
    while not ended.wait(PROGRESS):
        sys.stderr.write(f"replayed {collector.progress.events:,} events\n")
