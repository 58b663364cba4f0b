"""Hides what a key says is secret, in the texts of task events, before anything is stored.

Celery sends arguments and results as text cut in the middle, so they are not parsed: a key that ends with one of the
words (`password`, `db_password=`, `"access_token":`) hides what comes after it, quoted, bracketed or bare, closed or
cut off. Nothing here takes longer than in proportion to the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from umbel.model.event import AnyEvent, TaskFailed, TaskReceived, TaskRetried, TaskSent, TaskSucceeded

#: What stands in place of a secret.
HIDDEN: Final = "[redacted]"
#: The fields of each event that hold what users wrote.
FIELDS: Final[dict[type[AnyEvent], tuple[str, ...]]] = {
    TaskSent: ("args", "kwargs"),
    TaskReceived: ("args", "kwargs"),
    TaskSucceeded: ("result",),
    TaskFailed: ("exception", "traceback"),
    TaskRetried: ("exception", "traceback"),
}
_QUOTED: Final = re.compile(r"""[bBrRuUfF]{0,2}(?:'(?:[^'\\]|\\.)*(?:'|$)|"(?:[^"\\]|\\.)*(?:"|$))""", re.DOTALL)
_BARE: Final = re.compile(r"[^\s,;&)}\]]*")
_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}


class Redactor:
    """Hides the values of keys that end with one of `keys`, and whatever matches one of `patterns`."""

    def __init__(self, keys: Sequence[str] = (), patterns: Sequence[re.Pattern[str]] = ()) -> None:
        self._words = tuple(key.lower() for key in keys)
        words = "|".join(map(re.escape, sorted(self._words, key=len, reverse=True)))
        # What may stand between a key and its value: the key's own quote, and `:`, `=` or `=>`.
        self._key = re.compile(rf"""(?:{words})["']?\s{{0,4}}(?::|=>?)\s{{0,4}}""", re.IGNORECASE) if words else None
        self._patterns = tuple(patterns)
        #: Values hidden since the beginning.
        self.count = 0

    @classmethod
    def of(cls, keys: Sequence[str], patterns: Sequence[str]) -> Redactor | None:
        """One for these settings; None where nothing is to be hidden."""
        return cls(keys, [re.compile(pattern) for pattern in patterns]) if keys or patterns else None

    def see(self, events: list[AnyEvent]) -> list[AnyEvent]:
        """The same events, in the same list where there is nothing to hide."""
        touched: Iterable[int] = range(len(events)) if self._patterns else self._mentioning(events)
        if not touched:
            return events
        seen = events.copy()
        for index in touched:
            seen[index] = self._event(events[index])
        return seen

    def _mentioning(self, events: list[AnyEvent]) -> list[int]:
        """Which events have any of the words in a text: one look at all of them is cheap, one at each is not."""
        # Many texts come more than once: a task's arguments when it is sent and when it is received, to begin with.
        texts = _different(events)
        whole = "\0".join(texts).lower()
        words = [word for word in self._words if word in whole]
        if not words:
            return []
        found = {text for word in words for text in texts if word in text.lower()}
        return [index for index, event in enumerate(events) if not found.isdisjoint(_texts(event))]

    def _event(self, event: AnyEvent) -> AnyEvent:
        changes = {}
        for name in FIELDS.get(type(event), ()):
            text = getattr(event, name)
            if text and (hidden := self.text(text)) != text:
                changes[name] = hidden
        return msgspec.structs.replace(event, **changes) if changes else event

    def text(self, text: str) -> str:
        """One text, with what is secret in it hidden."""
        if self._key is not None:
            text = self._after_keys(text, self._key)
        for pattern in self._patterns:
            text, found = pattern.subn(HIDDEN, text)
            self.count += found
        return text

    def _after_keys(self, text: str, key: re.Pattern[str]) -> str:
        parts: list[str] = []
        end = 0
        while (found := key.search(text, end)) is not None:
            parts += (text[end : found.end()], f"'{HIDDEN}'")
            end = _end_of_value(text, found.end())
            self.count += 1
        parts.append(text[end:])
        return "".join(parts)


def _texts(event: AnyEvent) -> Sequence[str | None]:
    """The texts of an event, None for what it does not have; spelled out by kind, as many are looked at."""
    kind = type(event)
    if kind is TaskReceived or kind is TaskSent:
        return (event.args, event.kwargs)  # type: ignore[union-attr]  # the kind says so
    if kind is TaskSucceeded:
        return (event.result,)  # type: ignore[union-attr]  # the kind says so
    if kind is TaskFailed or kind is TaskRetried:
        return (event.exception, event.traceback)  # type: ignore[union-attr]  # the kind says so
    return ()


def _different(events: Iterable[AnyEvent]) -> list[str]:
    """The texts of all events, each once; as `_texts` has them, without a call for each event."""
    found: set[str | None] = set()
    add = found.add
    for event in events:
        kind = type(event)
        if kind is TaskReceived or kind is TaskSent:
            add(event.args)  # type: ignore[union-attr]  # here and below: the kind says so
            add(event.kwargs)  # type: ignore[union-attr]
        elif kind is TaskSucceeded:
            add(event.result)  # type: ignore[union-attr]
        elif kind is TaskFailed or kind is TaskRetried:
            add(event.exception)  # type: ignore[union-attr]
            add(event.traceback)  # type: ignore[union-attr]
    return [text for text in found if text]


def _end_of_value(text: str, start: int) -> int:
    """Where the value that begins at `start` ends: at its closing quote or bracket, or where the next thing begins."""
    quoted = _QUOTED.match(text, start)
    if quoted is not None:
        return quoted.end()
    if text[start : start + 1] not in _CLOSING:
        bare = _BARE.match(text, start)
        return bare.end() if bare is not None else start
    waiting: list[str] = []
    at = start
    while at < len(text):
        character = text[at]
        if character in "'\"":
            inner = _QUOTED.match(text, at)
            at = inner.end() if inner is not None else len(text)
            continue
        if character in _CLOSING:
            waiting.append(_CLOSING[character])
        elif waiting and character == waiting[-1]:
            waiting.pop()
            if not waiting:
                return at + 1
        at += 1
    return at
