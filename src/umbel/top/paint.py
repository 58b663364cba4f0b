"""How figures, states and charts look on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.text import Text

from umbel.web.pages.charts import Chart

#: Colours by state of a task or worker, and by level of a check.
COLOURS: Final = {
    "SUCCESS": "green",
    "FAILURE": "red",
    "RETRY": "yellow",
    "STARTED": "blue",
    "RECEIVED": "cyan",
    "PENDING": "bright_black",
    "REVOKED": "magenta",
    "REJECTED": "magenta",
    "online": "green",
    "offline": "bright_black",
    "lost": "red",
    "ok": "green",
    "degraded": "yellow",
    "down": "red",
}
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"


def state(name: str) -> Text:
    """A state's name in its colour."""
    return Text(name, COLOURS.get(name, ""))


def right(text: object) -> Text:
    """A figure, at the right of its column."""
    return Text(str(text), justify="right")


def clock(seconds: float | None) -> str:
    """UTC seconds since the epoch as the terminal's own time of day; "" for None."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S") if seconds else ""


def spark(values: Sequence[float | None], width: int) -> str:
    """The newest `width` values as a row of blocks, the greatest as a full one."""
    shown = [value or 0.0 for value in values[-width:]]
    top = max(shown, default=0.0)
    if top <= 0:
        return " " * len(shown)
    return "".join(_BLOCKS[-(-int(value / top * 1000) * (len(_BLOCKS) - 1) // 1000)] for value in shown)


def line(chart: Chart, key: str, width: int, colour: str) -> Text:
    """One line of a chart as a row of blocks."""
    found = next(one for one in chart.lines if one.key == key)
    return Text(spark(found.values, width), colour)
