"""`umbel trace`: tasks that have ended, as traces to an OTLP receiver; beside the collector that notes them."""

from __future__ import annotations

import os
import threading
from contextlib import closing

from umbel import status
from umbel.clock import SystemClock
from umbel.endings import EndingsReader
from umbel.errors import SettingsError
from umbel.model.spans import Sampler
from umbel.runtime.parts import Part, Report
from umbel.runtime.stores import open_reader
from umbel.runtime.telemetry import open_sink, reported_errors, traces_tasks
from umbel.settings import Settings
from umbel.tracing import Follower

#: Added to the process's niceness: nobody waits for it.
NICER = 10
#: Seconds that a delivery under way has at a stop; what is not acknowledged comes again.
FAREWELL = 1.0


def main(settings: Settings) -> int:
    """Send traces until SIGTERM or SIGINT; 0 if that went well."""
    if settings.trace_tasks is None or not traces_tasks(settings):
        raise SettingsError("umbel trace needs --trace-tasks, and no OTEL_SDK_DISABLED: there is nothing to send")
    clock = SystemClock()
    with Part("trace", settings, clock) as part, reported_errors(settings, "trace"):
        os.nice(NICER)
        endings = EndingsReader(settings.endings_dir)
        sampler = Sampler(settings.trace_tasks, failures=settings.trace_failures, slow=settings.trace_slow)
        with closing(open_reader(settings, clock)) as reader, closing(open_sink(settings.trace_service)) as sink:
            follower = Follower(endings, reader, sink, sampler, clock)
            part.reports(lambda: report(follower, endings))
            failed = threading.Event()
            _follow(follower, part.stop, failed)
    return 1 if failed.is_set() else 0


def _follow(follower: Follower, stop: threading.Event, failed: threading.Event) -> None:
    """Run until the stop, on a thread that a receiver which does not answer cannot hold back."""

    def run() -> None:
        try:
            follower.run(stop)
        except BaseException:
            failed.set()
            raise
        finally:
            stop.set()

    thread = threading.Thread(target=run, name="follower", daemon=True)
    thread.start()
    stop.wait()
    thread.join(timeout=FAREWELL)


def report(follower: Follower, endings: EndingsReader) -> Report:
    """The part's status."""
    progress = follower.progress
    values = {
        status.TRACED: float(progress.sent),
        status.UNTRACED: float(progress.dropped),
        status.TRACE_QUEUE: float(endings.waiting()),
    }
    return Report(values, {}, progress.error)
