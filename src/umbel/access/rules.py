"""Rules by task name and queue: `operator may revoke,terminate name:mail.* queue:mail`.

A role with rules may change what its rules name and nothing else; an operator without any may change everything, a
viewer nothing. An admin may change everything always.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from umbel.access.identity import Identity, Role, glob, role_of
from umbel.errors import SettingsError

#: What a rule may name besides Celery's commands: what is done to tasks and queues by other means.
ACTIONS: Final = frozenset(
    {"send_task", "abort", "run_again", "purge", "peek", "put_back", "find_stuck", "silence", "unsilence"}
)
#: What people say for it.
_SYNONYMS: Final = {"retry": "run_again"}
_FORM: Final = re.compile(r"(?P<who>\S+?)s?\s+may\s+(?P<actions>[\w*,\s]*?)(?P<limits>(\s+(name|queue):\S+)*)\s*")
_LIMIT: Final = re.compile(r"(name|queue):(\S+)")


@dataclass(frozen=True, slots=True)
class Target:
    """What an action touches: a task by name and queue; "" where that is not known, or it is about none."""

    name: str = ""
    queue: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule."""

    role: Role
    actions: frozenset[str]
    name: re.Pattern[str] | None
    queue: re.Pattern[str] | None

    def covers(self, action: str, target: Target) -> bool:
        """Whether it lets its role do this to the target; a limit on what is not known covers nothing."""
        if "*" not in self.actions and action not in self.actions:
            return False
        return _within(self.name, target.name) and _within(self.queue, target.queue)


def _within(pattern: re.Pattern[str] | None, text: str) -> bool:
    return pattern is None or (bool(text) and pattern.match(text) is not None)


class Rules:
    """All of them."""

    def __init__(self, entries: Sequence[str], known: Sequence[str]) -> None:
        """`known`: the actions that there are; raises `SettingsError` for a rule that cannot be understood."""
        self._rules = [_rule(entry, {*known, *ACTIONS}) for entry in entries]
        self._ruled = {rule.role for rule in self._rules}

    def allow(self, who: Identity, action: str, targets: Sequence[Target]) -> bool:
        """Whether somebody may do this to every one of the targets; one without a name stands for a worker."""
        if who.role is Role.ADMIN:
            return True
        if who.role not in self._ruled:
            return who.role >= Role.OPERATOR
        mine = [rule for rule in self._rules if rule.role is who.role]
        return all(any(rule.covers(action, target) for rule in mine) for target in targets or (Target(),))

    def anything(self, who: Identity) -> bool:
        """Whether there is anything that somebody may change."""
        return who.role >= Role.OPERATOR or who.role in self._ruled

    def limits(self, who: Identity) -> bool:
        """Whether it depends on the target what somebody may do."""
        return who.role is not Role.ADMIN and who.role in self._ruled


def _rule(entry: str, known: set[str]) -> Rule:
    found = _FORM.fullmatch(entry)
    role = role_of(found["who"]) if found else None
    actions = (
        frozenset(_SYNONYMS.get(one.strip(), one.strip()) for one in found["actions"].split(","))
        if found
        else frozenset()
    )
    if found is None or role is None:
        raise SettingsError(
            f"--rules: {entry!r} cannot be used; such as 'operator may revoke,terminate name:mail.* queue:mail' is "
            "expected, with viewer or operator"
        )
    unknown = sorted(actions - known - {"*"})
    if unknown:
        raise SettingsError(
            f"--rules: {entry!r} names {', '.join(map(repr, unknown))}; known are *, {', '.join(sorted(known))}"
        )
    limits = dict(_LIMIT.findall(found["limits"]))
    return Rule(role, actions, *(glob(limits[key]) if key in limits else None for key in ("name", "queue")))
