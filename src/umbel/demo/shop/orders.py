"""Orders: each becomes a chain that reserves the stock, charges the card and sends the confirmation."""

from __future__ import annotations

from typing import Any

from celery import chain

from umbel.demo.shop import mail, payments, stock
from umbel.demo.shop.application import dice, task, work


@task("shop.orders.place")
def place(order: dict[str, Any]) -> dict[str, Any]:
    """Accept an order and set off what follows from it."""
    work(dice("place", order["number"]).uniform(0.002, 0.015))
    chain(stock.reserve.s(order), payments.charge.s(), mail.send_confirmation.s()).apply_async()
    return {"number": order["number"], "lines": len(order["lines"]), "total": order["total"]}


@task("shop.orders.import_batch")
def import_batch(source: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Take over the orders of a market place: arguments of some hundred kilobytes, and a long result."""
    work(0.2 + len(rows) / 20_000)
    return {"source": source, "imported": [row["number"] for row in rows]}
