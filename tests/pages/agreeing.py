"""Workers that answer as a test says; in real life: test_control_real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from umbel.control.commands import Command, Outcome, Reply
from umbel.errors import ControlError


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
