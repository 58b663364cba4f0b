"""A shop's last hour and a half as its workers would tell it: quick and slow tasks, failures, retries, open ones."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from umbel.model.event import (
    AnyEvent,
    CustomEvent,
    EventClass,
    TaskFailed,
    TaskReceived,
    TaskRetried,
    TaskRevoked,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
    WorkerHeartbeat,
    WorkerOffline,
    WorkerOnline,
)
from umbel.model.ledger import LedgerEntry, Quarantined, Reason

#: Name, usual seconds of a run, share that fails, share that is retried first, exception, arguments, queue.
CATALOGUE = (
    ("shop.orders.place", 0.08, 0.01, 0.02, "IntegrityError('duplicate key: orders_pkey')", "(48213, 'EUR')", "orders"),
    ("shop.payments.charge", 0.9, 0.05, 0.1, "GatewayTimeout('no answer in 5 s')", "(48213, 129.9)", "payments"),
    ("shop.mail.send_receipt", 0.25, 0.02, 0.05, "SMTPServerDisconnected('lost')", "('ann@example.org',)", "mail"),
    ("shop.images.resize", 2.4, 0.03, 0.0, "MemoryError()", "('s3://shop/2026/11/a7f.jpg', 1600)", "images"),
    ("shop.stock.reserve", 0.03, 0.015, 0.0, "ValueError('sku 9920 is sold out')", "(9920, 2)", "orders"),
    ("shop.search.reindex", 6.0, 0.02, 0.0, "ConnectionError('search:9200 refused')", "(<Range 0..5000>,)", "slow"),
)
WORKERS = ("orders@web-1", "orders@web-2", "mail@web-1", "images@gpu-1")
TRACEBACK = """Traceback (most recent call last):
  File "/srv/venv/lib/python3.11/site-packages/celery/app/trace.py", line 453, in trace_task
    R = retval = fun(*args, **kwargs)
  File "/srv/shop/payments/tasks.py", line 88, in charge
    answer = gateway.charge(order.total, order.currency, idempotency_key=f"{order.id}-{self.request.retries}")
  File "/srv/shop/payments/gateway.py", line 41, in charge
    raise GatewayTimeout("no answer in 5 s")
shop.payments.gateway.GatewayTimeout: no answer in 5 s
"""


def task_id(random_: random.Random) -> str:
    text = f"{random_.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass
class Shop:
    """Makes events; the same seed makes the same shop."""

    now: float
    random: random.Random = field(default_factory=lambda: random.Random(7))

    def history(self, tasks: int, seconds: float = 5_400.0) -> Iterator[AnyEvent]:
        """Tasks that have ended, more of them in the middle of the span."""
        for n in range(tasks):
            share = n / tasks
            yield from self.task(self.now - seconds * (1 - share) + self.random.random())

    def task(self, at: float, *, id_: str = "", parent: str = "", root: str = "") -> Iterator[AnyEvent]:
        name, usual, fails, retried, exception, args, queue = self.random.choices(CATALOGUE, (30, 12, 20, 6, 26, 1))[0]
        id_ = id_ or task_id(self.random)
        worker = self.random.choice(WORKERS)
        yield self.sent(id_, name, at, args, queue, parent, root)
        again = 1 if self.random.random() < retried else 0
        for retry in range(again + 1):
            at += self.random.expovariate(1 / 0.4)
            yield self.received(id_, name, at, worker, args, retry, parent, root)
            at += self.random.expovariate(1 / 0.05)
            yield TaskStarted(hostname=worker, timestamp=at, pid=71, uuid=id_)
            run = self.random.lognormvariate(0, 0.6) * usual
            at += run
            if at > self.now:
                return
            if retry < again:
                yield TaskRetried(
                    hostname=worker, timestamp=at, pid=71, uuid=id_, exception=exception, traceback=TRACEBACK
                )
                at += 5
            elif self.random.random() < fails:
                yield TaskFailed(
                    hostname=worker, timestamp=at, pid=71, uuid=id_, exception=exception, traceback=TRACEBACK
                )
            else:
                yield TaskSucceeded(hostname=worker, timestamp=at, pid=71, uuid=id_, result="{'ok': True}", runtime=run)

    def sent(self, id_: str, name: str, at: float, args: str, queue: str, parent: str = "", root: str = "") -> TaskSent:
        return TaskSent(
            hostname="gen31@web-1",
            timestamp=at,
            uuid=id_,
            name=name,
            args=args,
            kwargs="{}",
            queue=queue,
            root_id=root or id_,
            parent_id=parent or None,
        )

    def received(
        self, id_: str, name: str, at: float, worker: str, args: str, retries: int, parent: str = "", root: str = ""
    ) -> TaskReceived:
        return TaskReceived(
            hostname=worker,
            timestamp=at,
            pid=71,
            uuid=id_,
            name=name,
            args=args,
            kwargs="{'trace': 'a1'}" if retries else "{}",
            retries=retries,
            root_id=root or id_,
            parent_id=parent or None,
        )

    def workers(self) -> Iterator[AnyEvent]:
        """Four that are there and one that has said goodbye."""
        for n, name in enumerate((*WORKERS, "reports@old-1")):
            for pid, at in (
                ((70 - n, self.now - 4_000), (71, self.now - 3_000)) if n == 1 else ((71, self.now - 5_000),)
            ):
                yield WorkerOnline(
                    hostname=name, timestamp=at, pid=pid, freq=2.0, sw_ident="py-celery", sw_ver="5.7.0", sw_sys="Linux"
                )
            yield self.heartbeat(name, self.now - (900 if n == 4 else 0.5), active=n + 1)
        yield WorkerOffline(hostname="reports@old-1", timestamp=self.now - 890, pid=71)

    def heartbeat(self, name: str, at: float, active: int = 1) -> WorkerHeartbeat:
        load = (0.42 + active, 0.61, 0.55)
        return WorkerHeartbeat(
            hostname=name, timestamp=at, pid=71, freq=2.0, active=active, processed=18_000 + 37 * active, loadavg=load
        )

    def open_tasks(self) -> Iterator[AnyEvent]:
        """Some that wait, some that run, one whose worker is gone."""
        for n in range(4):
            id_ = task_id(self.random)
            yield self.sent(id_, "shop.reports.nightly", self.now - 300 * (n + 1), "()", "slow")
            if n % 2:
                yield self.received(id_, "shop.reports.nightly", self.now - 290 * n, "reports@old-1", "()", 0)
                yield TaskStarted(hostname="reports@old-1", timestamp=self.now - 280 * n, pid=71, uuid=id_)

    def told_story(self) -> Iterator[AnyEvent]:
        """The task that the tests open: three attempts, then a failure; a parent, two children, a custom event."""
        worker, name, queue = "orders@web-1", "shop.payments.charge", "payments"
        at, args = self.now - 60, "(48213, 129.9, {'card': '…4242', 'attempt': <Attempt 3>})"
        yield from self.task(at - 20, id_="parent-of-the-story")
        yield self.sent("the-story", name, at, args, queue, "parent-of-the-story", "parent-of-the-story")
        for retry in range(3):
            yield self.received("the-story", name, at + 1.2, worker, args, retry, "parent-of-the-story")
            yield TaskStarted(hostname=worker, timestamp=at + 2.5, pid=71, uuid="the-story")
            kind = TaskRetried if retry < 2 else TaskFailed
            yield kind(
                hostname=worker,
                timestamp=at + 7.5,
                pid=71,
                uuid="the-story",
                exception="GatewayTimeout('no answer in 5 s')",
                traceback=TRACEBACK,
            )
            at += 15
        yield CustomEvent(
            hostname=worker,
            timestamp=at,
            pid=71,
            type="task-progress",
            uuid="the-story",
            fields='{"done":3,"of":4,"step":"capture"}',
        )
        for n in range(2):
            yield from self.task(at - 30 + n, parent="the-story", root="parent-of-the-story")
        yield TaskRevoked(
            hostname=worker, timestamp=self.now - 30, pid=71, uuid="revoked-one", terminated=True, signum="SIGTERM"
        )

    def losses(self) -> tuple[list[LedgerEntry], list[Quarantined]]:
        entries = [
            LedgerEntry(Reason.SPOOL_FULL, EventClass.HEARTBEAT, self.now - 1_500, self.now - 1_380, 1_204),
            LedgerEntry(
                Reason.DISCONNECTED,
                EventClass.UNKNOWN,
                self.now - 2_700,
                self.now - 2_660,
                310,
                estimated=True,
                worker="orders@web-2",
                detail="the broker closed the connection",
            ),
        ]
        raw = b'{"type":"task-started","uuid":17,"note":"<script>alert(1)</script>\x00\xff"}'
        poison = Quarantined(self.now - 700, Reason.MALFORMED, "Expected `str`, got `int` - at `$.uuid`", "json", raw)
        return entries, [poison]
