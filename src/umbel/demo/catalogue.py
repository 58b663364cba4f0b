"""Who buys what from whom: the names that the demo's tasks are about."""

from __future__ import annotations

from random import Random
from typing import Any

CUSTOMERS = (
    "Zoë Fjällström", "Amara Okafor", "Nguyễn Thị Mai", "Jakub Dąbrowski", "Priya Raghunathan", "Seán Ó Briain",
    "山本 さくら", "Carla Núñez", "Олена Шевченко", "Tom Baker", "Leïla Benali", "Mehmet Yılmaz",
)  # fmt: skip
SKUS = tuple(f"SKU-{number}" for number in range(100, 160))
CARDS = ("VISA •••• 4242", "Mastercard •••• 5100", "Amex •••• 0005", "SEPA •••• 3000")
WAREHOUSES = ("Łódź", "Zürich", "São Paulo", "東京", "Leeds")
SUPPLIERS = ("Nordlys", "Brico-Sud", "Kanda", "Alpenholz", "Meridiem")
MARKETS = ("Bazaar", "Kaupang", "Emporia")


def order(number: int, chance: Random) -> dict[str, Any]:
    """An order as the shop's web site hands it over."""
    customer = chance.choice(CUSTOMERS)
    return {
        "number": number,
        "customer": customer,
        "email": f"customer{CUSTOMERS.index(customer)}@mail.example",
        "lines": [{"sku": chance.choice(SKUS), "quantity": chance.randint(1, 4)} for _ in range(chance.randint(1, 5))],
        "total": round(chance.lognormvariate(3.7, 0.7), 2),
        "card": chance.choice(CARDS),
    }
