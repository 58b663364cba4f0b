"""Reads out of a stored result who belongs to whom: groups, their members, the bodies of chords.

Celery stores the results that a task sent as nested tuples: of a task `((id, parent), None)`, of a group
`((id, parent), [members])`, where the parent of a chord's body is the tuple of its header.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from umbel.control.runs import Kin

#: Ids taken from one result, and characters of one id.
IDS: Final = 10_000
ID: Final = 200
#: Levels of groups within groups.
DEEP: Final = 20


def kin_of(meta: Any) -> Kin:
    """What a task's stored result says; what is not as Celery writes it is left out."""
    if not isinstance(meta, Mapping):
        return Kin()
    children: list[str] = []
    groups: dict[str, list[str]] = {}
    bodies: dict[str, str] = {}
    for item in _items(meta.get("children")):
        if len(children) >= IDS:
            break
        _take(item, children, groups, bodies)
    return Kin(_id(meta.get("group_id")), tuple(children[:IDS]), groups, bodies)


def _take(item: Any, children: list[str], groups: dict[str, list[str]], bodies: dict[str, str]) -> None:
    id_, parent, members = _parts(item)
    if members is not None:
        _take_group(id_, members, children, groups)
    elif id_:
        children.append(id_)
        header, _, joined = _parts(parent)
        if joined is not None:
            # A chord: its body's parent is the group that it joins.
            bodies[id_] = header
            _take_group(header, joined, children, groups)


def _take_group(group_id: str, members: Sequence[Any], children: list[str], groups: dict[str, list[str]]) -> None:
    if group_id in groups:
        return
    groups[group_id] = ids = list(_members(members))[:IDS]
    children += ids


def _members(members: Sequence[Any], level: int = 0) -> Iterator[str]:
    for member in members:
        id_, _, within = _parts(member)
        if within is None:
            if id_:
                yield id_
        elif level < DEEP:
            yield from _members(within, level + 1)


def _parts(item: Any) -> tuple[str, Any, Sequence[Any] | None]:
    """Id, parent and members (None: no group) of a stored result."""
    if not isinstance(item, list | tuple) or len(item) != 2:
        return "", None, None
    head, members = item
    if not isinstance(head, list | tuple) or len(head) != 2:
        return _id(head), None, None
    return _id(head[0]), head[1], members if isinstance(members, list | tuple) else None


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _id(value: Any) -> str:
    return value[:ID] if isinstance(value, str) else ""
