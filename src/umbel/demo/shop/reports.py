"""Reports: some wait for their hour, some are beat's, and one is always being written."""

from __future__ import annotations

import time
from typing import Any

from umbel.demo.shop.application import dice, task, work

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip


@task("shop.reports.daily_sales")
def daily_sales(day: str) -> dict[str, Any]:
    """A day's sales; sent ahead with an ETA."""
    chance = dice("sales", day)
    work(chance.uniform(0.3, 1.2))
    return {"day": day, "orders": chance.randint(3_000, 9_000), "revenue": round(chance.uniform(90e3, 400e3), 2)}


@task("shop.reports.count_visitors")
def count_visitors() -> int:
    """How many looked at the shop since the last count; beat sends it."""
    work(0.1)
    return dice("visitors", time.time()).randint(200, 900)


@task("shop.reports.close_till")
def close_till() -> dict[str, Any]:
    """Add a minute's takings up; beat sends it."""
    chance = dice("till", time.time())
    work(chance.uniform(0.2, 0.8))
    return {"sales": chance.randint(30, 90), "takings": round(chance.uniform(900.0, 4_000.0), 2)}


@task("shop.reports.archive_year", bind=True)
def archive_year(self: Any, year: int, number: int) -> dict[str, Any]:
    """Pack a year's orders in 20 to 40 seconds, and say how far it is with an event of its own after each month."""
    pace = dice("archive", year, number).uniform(20.0, 40.0) / len(MONTHS)
    for done, month in enumerate(MONTHS, start=1):
        work(pace)
        self.send_event("task-progress", done=done, total=len(MONTHS), note=f"{month} {year}")
    return {"year": year, "file": f"orders-{year}.tar.zst"}
