"""What webs know of tasks and no event tells: new runs of which others, what became of those without an end.

It lies in the store's journal, so that all webs of a store know it. An end that the result backend told of is put there
for a collector, as only collectors write tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple, TypeVar

from umbel.clock import Clock
from umbel.errors import StoreError
from umbel.logs import Limited
from umbel.model.learned import End
from umbel.model.redact import Redactor
from umbel.stores.journal import Entry, Journal, Kind, fitted, key_of

limited: Final = Limited(logging.getLogger(__name__))

#: Characters of a verdict's evidence.
EVIDENCE: Final = 600
#: Verdicts that are looked through for those of one outcome, the newest.
READ: Final = 2_000
#: Entries that are asked for at once.
FOUND: Final = 1_000

T = TypeVar("T")

_NO_ENTRIES: Final[Sequence[Entry]] = ()
_NONE: Final[Mapping[str, Entry]] = {}


class Verdict(NamedTuple):
    """What was found out about a task that had not ended."""

    task_id: str
    #: UTC seconds.
    at: float
    #: `orphaned`, `ended` (with what the result backend says), `held` or `unknown`.
    outcome: str
    evidence: str


class Notes:
    """One for each app; used by several threads. Without a journal nothing is noted.

    What pages show is left out where the journal cannot be read, with a line in the log; noting raises `StoreError`.
    """

    def __init__(self, journal: Journal | None, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    def link(self, new: str, original: str) -> None:
        """Note that the task `new` is a new run of another."""
        if self._journal is None:
            return
        now, texts = self._clock.now(), {"new": new, "original": original}
        # Under the new one's id, and where all of the original's begin alike.
        self._journal.put(
            Entry(Kind.RUN, key_of(new), now, texts), Entry(Kind.RUN, f"{_stem(original)}{_digest(new)}", now, texts)
        )

    def original(self, task_id: str) -> str:
        """The task that this one is a new run of; "" where it is none."""
        key = key_of(task_id)
        found = self._shown(lambda journal: journal.find(Kind.RUN, [key]), _NONE)
        return found[key].texts.get("original", "") if key in found else ""

    def later_runs(self, task_id: str, limit: int) -> Sequence[str]:
        """The new runs of a task, the newest first."""
        entries = self._shown(lambda journal: journal.under(Kind.RUN, _stem(task_id), limit), _NO_ENTRIES)
        return [entry.texts.get("new", "") for entry in entries]

    def judge(self, verdicts: Sequence[Verdict]) -> Sequence[Verdict]:
        """Note what was found out about tasks; the latest word on each is kept. Those that say something new."""
        if self._journal is None or not verdicts:
            return verdicts
        fresh: list[Verdict] = []
        for start in range(0, len(verdicts), FOUND):
            some = verdicts[start : start + FOUND]
            known = self._journal.find(Kind.VERDICT, [key_of(one.task_id) for one in some])
            fresh += [one for one in some if _outcome(known.get(key_of(one.task_id))) != one.outcome]
            self._journal.put(*(_entry(one) for one in some))
        return fresh

    def verdict(self, task_id: str) -> Verdict | None:
        """What was found out about a task last."""
        key = key_of(task_id)
        found = self._shown(lambda journal: journal.find(Kind.VERDICT, [key]), _NONE)
        return _verdict(found[key]) if key in found else None

    def verdicts(self, outcome: str, limit: int) -> Sequence[Verdict]:
        """The newest of one outcome."""
        entries = self._shown(lambda journal: journal.read(Kind.VERDICT, READ), _NO_ENTRIES)
        return [_verdict(entry) for entry in entries if _outcome(entry) == outcome][:limit]

    def ended(self, ends: Sequence[End], redactor: Redactor | None) -> None:
        """Hand ends that the result backend told of to the collectors."""
        if self._journal is not None and ends:
            now, long = self._clock.now(), ("result", "exception", "traceback", "worker")
            texts = [(end.task_id, fitted(end.texts(redactor), *long)) for end in ends]
            self._journal.put(*(Entry(Kind.END, key_of(id_), now, its) for id_, its in texts))

    def _shown(self, read: Callable[[Journal], T], otherwise: T) -> T:
        if self._journal is None:
            return otherwise
        try:
            return read(self._journal)
        except StoreError as error:
            limited.warning("notes", f"what is noted about tasks cannot be read: {error}")
            return otherwise


def _entry(verdict: Verdict) -> Entry:
    texts = {"task_id": verdict.task_id, "outcome": verdict.outcome, "evidence": verdict.evidence[:EVIDENCE]}
    return Entry(Kind.VERDICT, key_of(verdict.task_id), verdict.at, fitted(texts, "evidence"))


def _verdict(entry: Entry) -> Verdict:
    texts = entry.texts
    return Verdict(texts.get("task_id", entry.key), entry.at, texts.get("outcome", ""), texts.get("evidence", ""))


def _outcome(entry: Entry | None) -> str:
    return entry.texts.get("outcome", "") if entry is not None else ""


def _digest(text: str) -> str:
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:40]


def _stem(task_id: str) -> str:
    """How the keys of a task's new runs begin; no id of a task looks so."""
    return f"runs-of {_digest(task_id)} "
