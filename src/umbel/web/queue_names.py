"""Which queues there are: those that the newest tasks were sent to."""

from __future__ import annotations

from typing import Final

from umbel.model.query import EVERYTHING, Compare, Field, Op, Page
from umbel.stores.base import StoreReader

#: Tasks looked at for the queues' names, the newest.
RECENT: Final = 1_000
#: Celery's queue where none is named.
DEFAULT_QUEUE: Final = "celery"
#: Of one name, the newest tasks looked at for their queue, and seconds to look.
OF_NAME: Final = 50
SOON: Final = 0.5
#: Queues asked for at once.
QUEUES: Final = 100


def queue_names(reader: StoreReader) -> list[str]:
    """The names, sorted; Celery's own default is always among them."""
    recent = reader.tasks(EVERYTHING, Page(RECENT)).items
    names = sorted({item.queue for item in recent if item.queue} | {DEFAULT_QUEUE})
    return names[:QUEUES]


def queue_of(reader: StoreReader, name: str) -> str:
    """Where a task of this name was sent last; "" where nothing tells."""
    if not name:
        return ""
    recent = reader.tasks(Compare(Field.NAME, Op.EQ, name), Page(OF_NAME, within=SOON)).items
    return next((task.queue for task in recent if task.queue), "")
