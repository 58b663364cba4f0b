"""`umbel db`: what the store says of itself; a store checked, moved, brought up to date, made smaller."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from itertools import chain
from typing import Final

import click

from umbel.clock import SystemClock
from umbel.errors import SettingsError, StoreBusy, StoreError
from umbel.runtime.checks import consistent
from umbel.runtime.move import Move
from umbel.runtime.move_entries import Entries, Memory
from umbel.runtime.stores import open_alert_book, open_journal, open_keeper, open_reader, open_writer, shown
from umbel.settings import Settings
from umbel.stores.base import Finding

#: Exit status of a check that found something, and of a move whose two ends differ.
WRONG: Final = 1


def main(settings: Settings) -> int:
    """Print size, books and damage of the store."""
    reader = open_reader(settings, SystemClock())
    try:
        state = reader.state()
    finally:
        reader.close()
    books = state.books
    discarded = sum(books.discarded.values())
    lines = [
        f"store        {shown(settings.store)}",
        f"tasks        {state.tasks:,}",
        f"bytes        {state.bytes:,}",
        f"received     {books.received:,} events",
        f"stored       {books.stored:,}",
        f"discarded    {discarded:,}",
        *(f"  {reason.value}, {class_.value}: {count:,}" for (reason, class_), count in books.discarded.items()),
        f"balance      {'yes' if books.received == books.stored + discarded else 'NO'}",
        f"quarantined  {state.quarantined:,}",
        *(f"set aside    {name}" for name in state.set_aside),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def migrate(settings: Settings) -> int:
    """Bring the store's form up to date, and say what was done."""
    clock = SystemClock()
    keeper = open_keeper(settings, clock)
    steps: Sequence[str] = ()
    if keeper is not None:
        steps = keeper.migrate()
    else:
        # The writer of such an engine does it when it opens, beside others that serve.
        with closing(open_writer(settings, clock)) as writer:
            writer.open()
    for step in steps or ["the store has the newest form"]:
        sys.stdout.write(f"{step}\n")
    return 0


def vacuum(settings: Settings) -> int:
    """Give back the space of what was deleted, file by file."""
    keeper = open_keeper(settings, SystemClock())
    if keeper is None:
        raise SettingsError("this database gives back space by itself; its own tools (VACUUM, OPTIMIZE) hurry it")
    for finding in keeper.vacuum():
        sys.stdout.write(f"{finding.what}\n")
    return 0


def check(settings: Settings) -> int:
    """Look at the whole store; 1 if anything is wrong with it."""
    clock = SystemClock()
    keeper = open_keeper(settings, clock)
    with closing(open_reader(settings, clock)) as reader:
        version = reader.version()
        files = list(_said(keeper.check())) if keeper is not None else []
        damaged = any(finding.problem for finding in files if finding.what.endswith(".db"))
        if damaged:
            # What cannot be read cannot be added up.
            return WRONG
        with _bar("records", reader.state().tasks) as told:
            whole = list(consistent(reader, told, ruled=bool(settings.retention.rules)))
        if reader.version() != version:
            raise StoreBusy("the store was written to while it was checked: stop its collectors, and check again")
    problems = [finding for finding in chain(files, _said(whole)) if finding.problem]
    sys.stdout.write(f"{len(problems)} problems\n" if problems else "all is well\n")
    return WRONG if problems else 0


def _said(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings, each printed as it comes."""
    for finding in findings:
        sys.stdout.write(f"{'WRONG' if finding.problem else 'ok   '}  {finding.what}")
        sys.stdout.write(f": {finding.problem}\n" if finding.problem else "\n")
        sys.stdout.flush()
        yield finding


def move(settings: Settings, origin: str, target: str) -> int:
    """Move the store at the URL `origin` into the empty one at `target`; 1 if they differ at the end."""
    if origin == target:
        raise SettingsError("--from and --to name the same store")
    clock = SystemClock()
    with ExitStack() as stack:
        source = stack.enter_context(closing(open_reader(replace(settings, store=origin), clock)))
        tasks = source.state().tasks
        writer = open_writer(replace(settings, store=target), clock)
        writer.open()
        stack.callback(writer.close)
        seen = stack.enter_context(closing(open_reader(replace(settings, store=target), clock)))
        journals = [
            stack.enter_context(closing(open_journal(replace(settings, store=url), clock))) for url in (origin, target)
        ]
        books = [
            stack.enter_context(closing(open_alert_book(replace(settings, store=url), clock)))
            for url in (origin, target)
        ]
        moving = Move(source, writer, seen, origin, clock, entries=Entries(*journals), memory=Memory(*books))
        if moving.progress.done:
            sys.stdout.write("it was moved already\n")
        with _bar("moving", tasks, moving.progress.tasks) as told:
            moving.run(told)
        with _bar("comparing", moving.progress.tasks) as told:
            differences = list(moving.differences(told))
    for difference in differences:
        sys.stdout.write(f"WRONG  {difference}\n")
    if differences:
        raise StoreError("--to does not hold what --from holds; begin again with an empty one")
    sys.stdout.write(
        f"moved {moving.progress.tasks:,} tasks, books, ledger, workers, the journal and alerts; checksums agree\n"
    )
    return 0


@contextmanager
def _bar(label: str, length: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal's standard error; one line where it is none."""
    with click.progressbar(length=max(1, length), label=label, file=sys.stderr, show_pos=True) as bar:
        bar.update(done)
        yield bar.update
