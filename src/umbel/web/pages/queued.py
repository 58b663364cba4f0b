"""How much waits in all queues, for pages that are about more than queues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from umbel.errors import BrokerError
from umbel.web.deps import Deps
from umbel.web.queue_names import queue_names

#: Seconds for which the broker is not asked again.
AGE: Final = 5.0


@dataclass(frozen=True, slots=True)
class Queued:
    """Messages that wait for a worker."""

    #: None where the broker does not tell.
    ready: int | None
    #: The longest queue and its messages; None where nothing waits.
    longest: tuple[str, int] | None = None


#: Where nothing was asked.
UNTOLD: Final = Queued(None)


def queued(deps: Deps) -> Queued:
    """Asked of the broker only while it is known to answer: the page must not wait for one that is down."""
    if deps.queues is None or not deps.pipeline().connected:
        return UNTOLD
    try:
        depths = {depth.name: depth.ready or 0 for depth in deps.queues.depths(queue_names(deps.reader))}
    except BrokerError:
        # Readiness says on every page what is wrong with it.
        return UNTOLD
    name = max(depths, key=depths.__getitem__, default="")
    return Queued(sum(depths.values()), (name, depths[name]) if depths.get(name) else None)
