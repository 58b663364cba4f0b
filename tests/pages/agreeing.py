"""Workers and a result backend that answer as a test says; in real life: test_control_real, test_again_workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from umbel.control.commands import Command, Outcome, Reply
from umbel.control.runs import Kin, Order, Result
from umbel.errors import ControlError
from umbel.model.message import Outgoing, Parcel


class Workers:
    """Those that are addressed agree, except the silent ones; inspection gets what the test says."""

    def __init__(self) -> None:
        self.sent: list[Command] = []
        self.silent: set[str] = set()
        self.said: dict[str, Any] = {}
        self.away = False

    def send(self, command: Command) -> None:
        self.sent.append(command)

    def ask(self, command: Command, timeout: float = 1.0) -> Mapping[str, Any]:
        raise NotImplementedError

    def call(self, command: Command, timeout: float = 1.0, expected: Sequence[str] = ()) -> Iterator[Reply]:
        if self.away:
            raise ControlError("connection refused")
        self.sent.append(command)
        for worker in command.destination or expected:
            if worker in self.silent:
                yield Reply(worker, Outcome.SILENT, None, "no answer in time")
            else:
                yield Reply(worker, Outcome.OK, self.said.get(command.method, {"ok": "<b>done</b>"}), "", 0.004)

    def close(self) -> None:
        pass


class Backend:
    """Remembers the arguments of the tasks in `known`, and takes whatever is sent."""

    def __init__(self, known: Sequence[str] = (), name: str = "shop.pay", queue: str = "celery") -> None:
        self.known = set(known)
        self.sent: list[Outgoing] = []
        self.has_backend = True
        #: Why nothing is taken; "" where all is.
        self.refuses = ""
        self._parcel = Parcel(name, (1,), exchange="", routing_key=queue)

    def recall(self, task_id: str) -> Parcel | None:
        return self._parcel if task_id in self.known else None

    def publish(self, outgoing: Outgoing) -> str:
        if self.refuses:
            raise ControlError(self.refuses)
        self.sent.append(outgoing)
        return outgoing.task_id

    def names(self) -> Sequence[str]:
        return [self._parcel.name]

    def knows(self, name: str) -> bool | None:
        return None

    def send(self, order: Order) -> str:
        raise NotImplementedError

    def result(self, task_id: str) -> Result:
        raise NotImplementedError

    def kin(self, task_ids: Sequence[str], patience: float) -> Mapping[str, Kin]:
        return {}

    def abort(self, task_id: str) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass
