"""`umbel top`: the store on a terminal."""

from __future__ import annotations

import importlib

from umbel.clock import SystemClock
from umbel.errors import SettingsError
from umbel.metrics.prometheus import render
from umbel.runtime.stores import open_journal, open_reader
from umbel.runtime.transport import parts_of
from umbel.settings import Settings
from umbel.status import StatusBoard
from umbel.web.deps import Deps


def main(settings: Settings, query: str) -> int:
    """Show the store until `q`; `query` is the search to begin with."""
    try:
        app = importlib.import_module("umbel.top.app")
    except ImportError as error:
        raise SettingsError(f"umbel top needs textual ({error}). Install it: pip install 'umbel[top]'") from error
    clock = SystemClock()
    reader, journal = open_reader(settings, clock), open_journal(settings, clock)
    deps = Deps(
        reader=reader,
        statuses=StatusBoard(settings.status_dir).read,
        settings=settings,
        clock=clock,
        render_metrics=render,
        queues=None,
        journal=journal,
        parts=[part for part in parts_of(settings) if part != "web"] if settings.broker else [],
    )
    try:
        app.Top(deps, query).run()
    finally:
        reader.close()
        journal.close()
    return 0
