"""Which queues there are: those that the newest tasks were sent to."""

from __future__ import annotations

from typing import Final

from umbel.model.query import EVERYTHING, Page
from umbel.stores.base import StoreReader

#: Tasks looked at for the queues' names, the newest.
RECENT: Final = 1_000
#: Celery's queue where none is named.
DEFAULT_QUEUE: Final = "celery"
#: Queues asked for at once.
QUEUES: Final = 100


def queue_names(reader: StoreReader) -> list[str]:
    """The names, sorted; Celery's own default is always among them."""
    recent = reader.tasks(EVERYTHING, Page(RECENT)).items
    names = sorted({item.queue for item in recent if item.queue} | {DEFAULT_QUEUE})
    return names[:QUEUES]
