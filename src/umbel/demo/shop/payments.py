"""Payments: cards are declined for good, and the gateway is sometimes too slow, which another try may mend."""

from __future__ import annotations

from random import Random
from typing import Any

from umbel.demo.shop.application import dice, task, work

DECLINED = 0.04
TIMED_OUT = 0.07
REASONS = ("insufficient funds", "card expired", "suspected fraud", "do not honour")


class CardDeclined(Exception):
    """The bank refuses the card; trying again does not help."""


class GatewayTimeout(Exception):
    """The payment gateway has not answered in time."""


@task(
    "shop.payments.charge",
    bind=True,
    autoretry_for=(GatewayTimeout,),
    max_retries=3,
    retry_backoff=1,
    retry_backoff_max=6,
)
def charge(self: Any, order: dict[str, Any]) -> dict[str, Any]:
    """Charge an order's card, at most four times."""
    chance = dice("charge", order["number"], self.request.retries)
    work(chance.uniform(0.02, 0.12))
    if dice("card", order["number"]).random() < DECLINED:
        raise CardDeclined(f"{order['card']} declined for order {order['number']}: {chance.choice(REASONS)}")
    _ask_gateway(order, chance, again=self.request.retries > 0)
    return order | {"charge": f"ch_{chance.getrandbits(64):016x}"}


def _ask_gateway(order: dict[str, Any], chance: Random, *, again: bool) -> None:
    """Time out now and then; one that has timed out once is likely to do it again."""
    try:
        _read_answer(chance, 0.5 if again else TIMED_OUT)
    except TimeoutError as error:
        raise GatewayTimeout(
            f"POST https://pay.example/v2/charges ({order['total']:.2f} €): no answer in 3.0 s"
        ) from error


def _read_answer(chance: Random, risk: float) -> None:
    if chance.random() < risk:
        raise TimeoutError("The read operation timed out")
