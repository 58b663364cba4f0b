"""The texts that many tasks of a segment share, each stored once and named by a number."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from umbel.model.match import ascii_lower, text_test
from umbel.model.query import Op
from umbel.stores.sqlfile import load

#: A name, worker or queue; (worker, pid); (client, queue, exchange, routing key).
Word = str | tuple[str, int] | tuple[str, str, str, str]

#: Words remembered by number or by text; then all are forgotten and asked for again.
REMEMBERED: Final = 20_000
#: Of a segment that takes no new tasks any more.
FEW: Final = REMEMBERED // 20

_SQL: Final = load(Path(__file__).with_name("segment.sql"))
_pack: Final = msgspec.msgpack.encode
_unpack: Final[Callable[[bytes], Any]] = msgspec.msgpack.decode


K = TypeVar("K")
V = TypeVar("V")


class Remembered(dict[K, V]):
    """What is remembered, of a segment as a rule: a bounded number."""

    def __init__(self, room: int = REMEMBERED) -> None:
        super().__init__()
        self._room = room

    def keep(self, key: K, value: V) -> None:
        """Remember one more; where there is no room, it alone."""
        if len(self) >= self._room:
            self.clear()
        self[key] = value

    def shrink(self) -> None:
        """Forget all, and remember few from now on."""
        self._room = FEW
        self.clear()


class WordWriter:
    """Numbers for words, new ones added in the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ids: Remembered[Word, int] = Remembered()

    def shrink(self) -> None:
        """Remember few words from now on."""
        self._ids.shrink()

    def id(self, word: Word) -> int:
        """The number of a word."""
        id_ = self._ids.get(word)
        return self._find(word) if id_ is None else id_

    def optional(self, text: str) -> int:
        """The number of a text, or 0 for ""."""
        if not text:
            return 0
        id_ = self._ids.get(text)
        return self._find(text) if id_ is None else id_

    def _find(self, word: Word) -> int:
        stored = word if isinstance(word, str) else _pack(word)
        row = self._connection.execute(_SQL["find_word"], (stored,)).fetchone()
        id_: int = row[0] if row else self._connection.execute(_SQL["put_word"], (stored,)).fetchone()[0]
        self._ids.keep(word, id_)
        return id_


class Numbered:
    """What is remembered of a segment's words, each at the place of its number; those of high numbers are not."""

    def __init__(self, shared: Remembered[str | bytes, Any] | None = None) -> None:
        """`shared`: words of other segments by their stored form; what is among them is held once."""
        #: None where the word is not known; it only grows, so that threads need no lock.
        self.words: list[Any] = []
        self._shared = shared
        self._room = REMEMBERED

    def keep(self, id_: int, stored: str | bytes) -> Any:
        """The word in its stored form, remembered from now on."""
        word = None if self._shared is None else self._shared.get(stored)
        if word is None:
            word = _unpack(stored) if isinstance(stored, bytes) else stored
            if self._shared is not None:
                self._shared.keep(stored, word)
        if id_ < self._room:
            self.words.extend([None] * (id_ + 1 - len(self.words)))
            self.words[id_] = word
        return word

    def shrink(self) -> None:
        """Forget all, and remember few from now on."""
        self._room = FEW
        self.words.clear()


class WordReader:
    """Words by their numbers; a number never changes its word."""

    def __init__(self, connection: sqlite3.Connection, numbered: Numbered | None = None) -> None:
        """`numbered`: what is remembered of them, by others too."""
        self._connection = connection
        self._numbered = numbered or Numbered()
        self._words = self._numbered.words

    def shrink(self) -> None:
        """Remember few words from now on."""
        self._numbered.shrink()

    def __call__(self, id_: int) -> Any:
        """The word: a text, or a list of a composed word's parts."""
        word = self._words[id_] if id_ < len(self._words) else None
        if word is None:
            word = self._numbered.keep(id_, self._connection.execute(_SQL["word"], (id_,)).fetchone()[0])
        return word


class WordList:
    """Some words that do not change, asked all at once which of them match."""

    def __init__(self, words: Mapping[int, str]) -> None:
        """`words` by their numbers."""
        self._words = words
        self._numbers = {word: id_ for id_, word in words.items()}
        self._together = ascii_lower("\n".join(words.values()))

    def matching(self, op: Op, value: str) -> list[int]:
        """The numbers of those that `op` (EQ, CONTAINS or GLOB) makes match a value."""
        if op is Op.EQ:
            return [self._numbers[value]] if value in self._numbers else []
        if op is Op.CONTAINS and ascii_lower(value) not in self._together:
            return []
        test = text_test(op, value)
        return [id_ for id_, word in self._words.items() if test(word)]
