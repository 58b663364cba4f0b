"""`umbel demo`: a shop with real workers on a broker of its own, and Umbel on top, in a directory that goes with it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import umbel.demo
from umbel.demo.world import World
from umbel.settings import Settings

#: Rules for what goes wrong in the shop; nobody is told, so that nothing more has to be installed.
ALERTS = Path(umbel.demo.__file__).with_name("alerts.toml")
#: Seconds that the shop waits at most for Umbel to listen, which usually takes one or two.
AUDIENCE = 120.0


def main(settings: Settings, rate: float, up: Callable[[Settings], int]) -> int:
    """Run the demo until Ctrl-C; leaves no process and no file."""
    sys.stderr.write("starting a broker, three workers, a beat and a shop's customers ...\n")
    with World(rate=rate, audience=AUDIENCE) as world, tempfile.TemporaryDirectory(prefix="umbel-demo-") as directory:
        home = Path(directory)
        sys.stderr.write(
            f"Umbel comes up at http://{settings.host}:{settings.port}{settings.url_prefix}/ (Ctrl-C ends)\n"
        )
        return up(
            replace(
                settings,
                # For its beat's schedule and the names of its tasks; broker and backend stand below.
                app="umbel.demo.shop",
                broker=world.broker_url,
                result_backend=world.result_backend,
                broker_options={},
                broker_ssl={},
                store=f"sqlite:///{home / 'umbel.db'}",
                data_dir=str(home / "data"),
                alerts=settings.alerts or str(ALERTS),
            )
        )
