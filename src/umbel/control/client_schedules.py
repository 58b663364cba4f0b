"""Celery's own schedule objects made into data: when an entry is due, and was."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from celery.schedules import BaseSchedule, crontab, maybe_schedule, schedule

from umbel.control.schedules import Planned

#: Due times that are told, and how far back (seconds).
DUES: Final = 60
BACK: Final = 7 * 86_400.0
_CRONTAB: Final = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


class Reckoner:
    """Makes entries of schedules, as of `now` (UTC seconds) and in the zone of `app`."""

    def __init__(self, app: Any, now: float) -> None:
        self._app = app
        self.now = now

    def of_app(self) -> tuple[list[Planned], list[str]]:
        """The app's `beat_schedule`, and what of it cannot be understood."""
        found, problems = [], []
        for name, entry in dict(self._app.conf.beat_schedule or {}).items():
            try:
                made = maybe_schedule(entry["schedule"], entry.get("relative", False), app=self._app)
                found.append(self.planned(str(name), "app", made, entry))
            except Exception as error:  # noqa: BLE001 - an entry may hold anything, and raise anything
                problems.append(f"the entry {name!r} of beat_schedule cannot be understood: {error!r}")
        return found, problems

    def of_redbeat(self, name: str, definition: Mapping[str, Any]) -> Planned:
        """An entry as RedBeat stores it; raises `ValueError`, `TypeError` or `KeyError` where it is not understood."""
        told = definition["schedule"]
        kind = told.get("__type__")
        made: BaseSchedule
        if kind == "interval":
            made = schedule(timedelta(seconds=float(told["every"])))
        elif kind == "crontab":
            made = crontab(**{field: told[field] for field in _CRONTAB if field in told})
        else:
            raise ValueError(f"schedules of the kind {kind!r} are not understood")
        return self.planned(name, "RedBeat", made, definition)

    def planned(self, name: str, source: str, made: BaseSchedule, entry: Mapping[str, Any]) -> Planned:
        """One entry, with the times that its schedule tells."""
        found = self.untimed(name, source, entry)
        if isinstance(made, schedule) and not isinstance(made, crontab):
            every = made.run_every.total_seconds()
            return replace(found, when=f"every {_words(made.run_every)}", every=every)
        dues, next_at = due_times(made, self._app, self.now)
        return replace(found, when=_fields(made), dues=dues, next_at=next_at)

    def untimed(self, name: str, source: str, entry: Mapping[str, Any]) -> Planned:
        """One entry that nothing is said of when it runs."""
        # As Celery writes them in events.
        args, kwargs = repr(tuple(entry.get("args") or ())), repr(dict(entry.get("kwargs") or {}))
        return Planned(name, str(entry["task"]), source, "", None, args=args, kwargs=kwargs)


def due_times(made: BaseSchedule, app: Any, now: float) -> tuple[tuple[float, ...], float | None]:
    """The latest due times up to `now`, the oldest first, and the next one; all in UTC seconds."""
    next_at = _after(made, app, now)
    second = _after(made, app, next_at)
    gap = max(1.0, second - next_at)
    at = now - min(BACK, max(gap * DUES / 2, 2 * gap))
    dues: list[float] = []
    while (at := _after(made, app, at)) <= now:
        dues.append(at)
        if len(dues) > 4 * DUES:
            # Due times may lie closer together elsewhere than the next two do.
            del dues[:-DUES]
    return tuple(dues[-DUES:]), next_at


def _after(made: BaseSchedule, app: Any, at: float) -> float:
    """The first due time after a moment."""
    moment = datetime.fromtimestamp(at, UTC)
    own = copy.copy(made)
    own.app, own.nowfun = app, lambda: moment
    left: timedelta = own.remaining_estimate(moment)
    return max(round(at + left.total_seconds(), 3), at + 1e-3)


def _words(every: timedelta) -> str:
    seconds = every.total_seconds()
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:g} s"


def _fields(made: BaseSchedule) -> str:
    if not isinstance(made, crontab):
        return str(made)[:100]
    return " ".join(str(getattr(made, f"_orig_{field}")) for field in _CRONTAB)[:200]
