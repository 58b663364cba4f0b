"""Where a task of delayed delivery was meant for."""

from __future__ import annotations

import pytest

from umbel.model.delayed import undelayed
from umbel.model.message import of_message

DIGITS = "0." * 24 + "1.0.1.1."


@pytest.mark.parametrize(
    ("exchange", "key", "found"),
    [
        ("celery_delayed_27", f"{DIGITS}mail", ("celery_delayed_delivery", "mail")),
        ("celery_delayed_delivery", f"{DIGITS}1.mail", ("celery_delayed_delivery", "1.mail")),
        # Queues of these names are nobody's delay.
        ("", "1.mail", ("", "1.mail")),
        ("tasks", f"{DIGITS}mail", ("tasks", f"{DIGITS}mail")),
        ("", "", ("", "")),
    ],
)
def test_only_the_digits_of_delayed_delivery_are_taken_away(exchange: str, key: str, found: tuple[str, str]) -> None:
    assert undelayed(exchange, key) == found
    parcel = of_message({"task": "mail.send"}, b"[[], {}, {}]", exchange, key)
    assert (parcel.exchange, parcel.routing_key) == found
