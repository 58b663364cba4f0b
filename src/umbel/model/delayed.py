"""Celery's delayed delivery on RabbitMQ's quorum queues: a chain of exchanges and queues in which tasks wait.

The routing key begins with 28 binary digits, the seconds to wait; each step of the chain reads one of them.
"""

from __future__ import annotations

import re
from typing import Final

#: How the names of its exchanges and queues begin, and the exchange at which a delay ends.
DELAYED: Final = "celery_delayed_"
DELIVERY: Final = "celery_delayed_delivery"
_DIGITS: Final = re.compile(r"^(?:[01]\.){28}")


def undelayed(exchange: str, routing_key: str) -> tuple[str, str]:
    """Exchange and routing key with which a message gets to where it was meant for, at once."""
    return (DELIVERY, _DIGITS.sub("", routing_key)) if exchange.startswith(DELAYED) else (exchange, routing_key)
