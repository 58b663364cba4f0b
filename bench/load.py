"""Events as real workers put them on Redis, for the benchmarks: kombu envelopes with 1 or more events each."""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Iterator
from typing import Any

NAMES = [
    f"shop.{part}.{verb}" for part in ("orders", "payments", "mail", "images", "stock") for verb in ("a", "b", "c", "d")
]
WORKERS = [(f"worker-{n}@host", 1000 + n) for n in range(8)]
#: Tasks under way at once: how far apart the events of one task lie.
OPEN = 500


def events(count: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """`count` events of tasks that are sent, received, started and ended (5 % fail), as many workers would mix them."""
    random_ = random.Random(seed)
    under_way: list[Iterator[dict[str, Any]]] = []
    for clock in range(1, count + 1):
        while len(under_way) < OPEN:
            under_way.append(_life(random_))
        place = random_.randrange(OPEN)
        event = next(under_way[place], None)
        while event is None:
            under_way[place] = _life(random_)
            event = next(under_way[place])
        yield event | {"utcoffset": 0, "clock": clock, "timestamp": 1_750_000_000.0 + clock * 0.0002}


def _life(random_: random.Random) -> Iterator[dict[str, Any]]:
    id_ = str(uuid.UUID(int=random_.getrandbits(128), version=4))
    worker, pid = random_.choice(WORKERS)
    name = random_.choice(NAMES)
    who = {"hostname": worker, "pid": pid, "uuid": id_}
    args, kwargs = (
        f"({random_.randrange(10**6)}, 'customer-{random_.randrange(10**5)}')",
        "{'priority': 3, 'lang': 'en'}",
    )
    what = {"name": name, "args": args, "kwargs": kwargs, "root_id": id_, "parent_id": None, "retries": 0}
    what |= {"eta": None, "expires": None}
    yield {"type": "task-sent", "hostname": "gen77@web", "pid": 77, "uuid": id_, **what} | {
        "queue": "celery",
        "exchange": "",
        "routing_key": "celery",
    }
    yield {"type": "task-received", **who, **what}
    yield {"type": "task-started", **who}
    if random_.random() < 0.05:
        trace = "Traceback (most recent call last):\n" + '  File "/app/shop/tasks.py", line 12, in run\n' * 12
        yield {"type": "task-failed", **who, "exception": "ValueError('card declined')", "traceback": trace}
    else:
        yield {
            "type": "task-succeeded",
            **who,
            "result": "{'ok': True, 'id': 12345}",
            "runtime": random_.expovariate(2),
        }


def messages(count: int, per_message: int, seed: int = 1) -> list[bytes]:
    """`count` events in kombu envelopes of `per_message` events."""
    found, batch = [], []
    for event in events(count, seed):
        batch.append(event)
        if len(batch) == per_message:
            found.append(envelope(batch if per_message > 1 else batch[0]))
            batch = []
    return found


def envelope(body: Any) -> bytes:
    """One message as kombu's Redis transport publishes it."""
    return json.dumps(
        {
            "body": base64.b64encode(json.dumps(body).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"hostname": "worker-1@host"},
            "properties": {
                "delivery_mode": 1,
                "delivery_info": {"exchange": "celeryev", "routing_key": "task.multi"},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": "5b1d0b5e-6a3c-4d36-9a3a-0d1b7a0f9e11",
            },
        }
    ).encode()
