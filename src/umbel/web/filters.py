"""How numbers and times read on a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from umbel.model.task import rfc3339
from umbel.stores.base import Count
from umbel.web.pages.spark import HEIGHT, Bar

#: What stands where a value is absent.
ABSENT: Final = "–"
_SIZES: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_DAY: Final = 86_400
#: As the script writes them in English, whatever the locale of the server.
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def utc(seconds: float | None) -> str:
    """UTC seconds since the epoch for people: `2026-11-23 00:41:07 UTC`."""
    return ABSENT if not seconds else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def time(seconds: float | None, now: float | None = None) -> str:
    """A `<time>` element in UTC, as short as `now` allows; the script puts it into the browser's zone."""
    if not seconds:
        return ABSENT
    shown = utc(seconds)
    return _element(seconds, shown, _short(shown, seconds, now))


def moment(seconds: float | None, now: float | None = None) -> str:
    """As `time`, with milliseconds: for moments that stand beside others of the same second."""
    if not seconds:
        return ABSENT
    shown = f"{utc(seconds).removesuffix(' UTC')}.{int(seconds * 1000) % 1000:03d} UTC"
    return _element(seconds, shown, _short(shown, seconds, now), " data-fine")


def _element(seconds: float, title: str, text: str, mark: str = "") -> str:
    # All are digits and signs of ours: to have each of hundreds escaped costs as much as all else about them.
    return Markup(f'<time datetime="{rfc3339(seconds)}" title="{title}"{mark}>{text}</time>')  # noqa: S704 - nothing to escape


def _short(text: str, seconds: float, now: float | None) -> str:
    """The text of `utc` without its day where that is the day of `now`, or else without its year where it is."""
    if now is None:
        return text
    if seconds // _DAY == now // _DAY:
        return text[11:]
    if text[:4] != utc(now)[:4]:
        return text
    return f"{_MONTHS[int(text[5:7]) - 1]} {int(text[8:10])} {text[11:]}"


def since(seconds: float, now: float, past: str = "") -> str:
    """How long ago it was, or when it will be, as the script goes on counting: `3 s ago`, `in 2 m 5 s`.

    `past` is the word before a time that is over, such as "due".
    """
    passed = round(now - seconds)
    s = abs(passed)
    if s < 3600:
        text = f"{s} s" if s < 60 else f"{s // 60} m {s % 60} s" if s < 600 else f"{s // 60} m"
    else:
        text = f"{s // 3600} h {s % 3600 // 60} m" if s < _DAY else f"{s // _DAY} d {s % _DAY // 3600} h"
    return f"in {text}" if passed < 0 else f"{past} {text} ago".lstrip()


@pass_context
def _time(context: Context, seconds: float | None) -> str:
    return time(seconds, _now(context))


@pass_context
def _moment(context: Context, seconds: float | None) -> str:
    return moment(seconds, _now(context))


def _now(context: Context) -> float | None:
    """When the page is made; None in a part that knows nothing of its page."""
    base = context.get("base")
    return base.now if base else None


def duration(seconds: float | None) -> str:
    """Seconds for people: `12 ms`, `1.25 s`, `3 m 05 s`, `2 h 10 m`, `4 d 3 h`."""
    if seconds is None:
        return ABSENT
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    if seconds < 0.9995:
        return (
            f"{sign}{seconds * 1000:.0f} ms" if seconds >= 0.0095 or not seconds else f"{sign}{seconds * 1000:.1f} ms"
        )
    if seconds < 59.95:
        return f"{sign}{seconds:.2f} s" if seconds < 9.995 else f"{sign}{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{sign}{whole // 60} m {whole % 60:02d} s"
    if whole < _DAY:
        return f"{sign}{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{sign}{whole // _DAY} d {whole % _DAY // 3600} h"


def size(count: float | None) -> str:
    """Bytes for people, in powers of 1024: `512 B`, `1.5 MiB`."""
    if count is None:
        return ABSENT
    value = float(count)
    for unit in _SIZES[:-1]:
        if abs(value) < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_SIZES[-1]}"


def number(value: float | None) -> str:
    """A count with its thousands apart: `12,345`; fractions under 100 keep one digit."""
    if value is None:
        return ABSENT
    digits = 1 if abs(value) < 100 and value % 1 else 0
    return f"{value:,.{digits}f}"


def capped(count: Count) -> str:
    """A count that may be cut: `10,000+`."""
    return f"{count.n:,}{'+' if count.capped else ''}"


def percent(share: float | None) -> str:
    """A share from 0 to 1: `42 %`."""
    return ABSENT if share is None else f"{share * 100:.0f} %"


def quoted(text: str) -> str:
    """A text as a value of the query language, within quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def pace(a_second: float) -> str:
    """A rate with the unit that suits it: 12.3/s, 4.2/min, 1.5/h."""
    if not a_second:
        return "0"
    if a_second >= 1:
        return f"{number(a_second)}/s"
    if a_second * 60 >= 1:
        return f"{a_second * 60:.1f}/min"
    return f"{a_second * 3600:.1f}/h"


def outline(bars: Iterable[Bar]) -> str:
    """The columns of a small drawing as the data of one SVG path."""
    return "".join(_column(bar, bar.height) for bar in bars)


def outline_of_parts(bars: Iterable[Bar]) -> str:
    """The parts of these columns in the colour of failures, in the same way."""
    return "".join(_column(bar, bar.part) for bar in bars if bar.part)


def _column(bar: Bar, height: float) -> str:
    return f"M{bar.x:g} {HEIGHT:g}v-{height:g}h{bar.width:g}v{height:g}z"


#: Filters of every template, by name.
FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "rfc3339": rfc3339,
    "utc": utc,
    "time": _time,
    "moment": _moment,
    "since": since,
    "duration": duration,
    "size": size,
    "number": number,
    "capped": capped,
    "percent": percent,
    "quoted": quoted,
    "pace": pace,
    "outline": outline,
    "outline_of_parts": outline_of_parts,
}
