"""`umbel web`: pages, API and metrics over the store."""

from __future__ import annotations

import gc
import sys

from umbel import logs
from umbel.clock import SystemClock
from umbel.metrics.prometheus import collect
from umbel.runtime.access import open_login
from umbel.runtime.parts import Part
from umbel.runtime.serving import opened
from umbel.runtime.telemetry import own_work, pushed_metrics, reported_errors
from umbel.settings import Settings
from umbel.web.app import create_app
from umbel.web.health import measure
from umbel.web.security import guarded
from umbel.web.server import serve

#: Allocations between two rounds of the cycle collector: an answer makes tens of thousands, hardly any in cycles.
GC_THRESHOLD = 20_000
#: Seconds after which a thread that computes lets another go on. Each row of an answer is a turn, and with Python's own
#: five milliseconds an answer of some hundred rows took half a second while another thread computed.
TURN = 0.001


def main(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; 0 if that went well."""
    logs.setup(settings.log_level, settings.log_format)
    settings = guarded(settings)
    clock = SystemClock()
    login = open_login(settings, clock)
    with (
        opened(settings, clock, login) as deps,
        Part("web", settings, clock) as part,
        reported_errors(settings, "web"),
        own_work(settings) as tracer,
    ):
        deps.tracer = tracer
        app = create_app(deps)
        _be_brisk()
        with pushed_metrics(settings, lambda: collect(measure(app.state)), clock.now):
            return serve(app, settings, part.stop)


def _be_brisk() -> None:
    """Have answers held up neither by garbage nor by each other, once all is loaded."""
    # Modules and routes stay: to go through them again and again held every answer up for a tenth of a second.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 10, 10)
    sys.setswitchinterval(TURN)
