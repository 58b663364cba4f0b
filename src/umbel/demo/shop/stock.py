"""Stock: reservations, warehouses whose feeds are not what was agreed, suppliers that are away, deliveries refused."""

from __future__ import annotations

from typing import Any

from celery.exceptions import Reject

from umbel.demo.shop.application import dice, task, work

SOLD_OUT = 0.005


class OutOfStock(Exception):
    """There is less in store than was ordered."""


class SupplierUnreachable(Exception):
    """A supplier's server does not take our connection."""


@task("shop.stock.reserve")
def reserve(order: dict[str, Any]) -> dict[str, Any]:
    """Put an order's goods aside."""
    chance = dice("reserve", order["number"])
    work(chance.uniform(0.005, 0.025))
    if chance.random() < SOLD_OUT:
        line = chance.choice(order["lines"])
        raise OutOfStock(f"{line['sku']}: {line['quantity']} ordered, {line['quantity'] - 1} in store")
    return order | {"reservation": f"R{order['number']}"}


@task("shop.stock.sync")
def sync(warehouse: str, number: int) -> dict[str, Any]:
    """Read a warehouse's feed; one in five has a field missing or a number that is none."""
    chance = dice("sync", warehouse, number)
    work(chance.uniform(0.05, 0.4))
    rows = [{"sku": f"SKU-{chance.randint(100, 999)}", "menge": str(chance.randint(0, 80))} for _ in range(40)]
    fault = chance.random()
    if fault < 0.1:
        del rows[chance.randrange(40)]["menge"]
    elif fault < 0.2:
        rows[chance.randrange(40)]["menge"] = chance.choice(("12 шт", "viele", "十二", "—"))
    return {"warehouse": warehouse, "pieces": _pieces(rows)}


def _pieces(rows: list[dict[str, str]]) -> int:
    return sum(_quantity(row) for row in rows)


def _quantity(row: dict[str, str]) -> int:
    return int(row["menge"])


@task("shop.stock.fetch_prices", bind=True, max_retries=2)
def fetch_prices(self: Any, supplier: str, number: int) -> dict[str, Any]:
    """Ask a supplier for prices. The first try always fails, so that some task is always waiting for its next."""
    chance = dice("prices", supplier, number, self.request.retries)
    work(chance.uniform(0.05, 0.3))
    try:
        _connect(supplier, reachable=self.request.retries > 0 and chance.random() < 0.6)
    except ConnectionRefusedError as error:
        unreachable = SupplierUnreachable(f"{supplier}: {error.strerror}")
        raise self.retry(exc=unreachable, countdown=chance.uniform(20.0, 60.0)) from error
    return {"supplier": supplier, "prices": chance.randint(200, 4_000)}


def _connect(supplier: str, *, reachable: bool) -> None:
    if not reachable:
        raise ConnectionRefusedError(111, "Connection refused", f"sftp://{supplier.lower()}.example/prices.csv")


@task("shop.stock.receive_delivery", acks_late=True)
def receive_delivery(note: str) -> str:
    """Book a delivery in; a note that cannot be read is rejected for good."""
    work(0.1)
    if not note.isascii():
        raise Reject(f"delivery note {note!r} cannot be read", requeue=False)
    return f"{note} booked in"


@task("shop.stock.count")
def count(warehouse: str) -> dict[str, Any]:
    """Count what is there, once a year; beat sends it."""
    work(5.0)
    return {"warehouse": warehouse, "pieces": dice("count", warehouse).randint(9_000, 30_000)}
