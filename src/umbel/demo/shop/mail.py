"""Mail: quick, and seldom of interest."""

from __future__ import annotations

from typing import Any

from umbel.demo.shop.application import dice, task, work


@task("shop.mail.send_confirmation")
def send_confirmation(order: dict[str, Any]) -> str:
    """Tell a customer that the order is on its way."""
    work(dice("mail", order["number"]).uniform(0.005, 0.06))
    return f"250 2.0.0 OK: order {order['number']} confirmed to {order['email']}"


@task("shop.mail.remind_of_basket")
def remind_of_basket(email: str, skus: list[str]) -> str:
    """Remind a customer of a full basket; worthless when late, so it is sent with an expiry."""
    work(0.05)
    return f"250 2.0.0 OK: {email} reminded of {', '.join(skus)}"
