"""`umbel web`: pages, API and metrics over the store."""

from __future__ import annotations

from umbel import logs
from umbel.clock import SystemClock
from umbel.runtime.access import open_login
from umbel.runtime.parts import Part
from umbel.runtime.serving import opened
from umbel.settings import Settings
from umbel.web.app import create_app
from umbel.web.security import guarded
from umbel.web.server import serve


def main(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; 0 if that went well."""
    logs.setup(settings.log_level)
    settings = guarded(settings)
    clock = SystemClock()
    login = open_login(settings, clock)
    with (
        opened(settings, clock, login) as deps,
        Part("web", settings.status_dir, settings.log_level, clock) as part,
    ):
        return serve(create_app(deps), settings, part.stop)
