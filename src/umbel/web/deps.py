"""What the web needs from outside, injected by the composition root."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from umbel.access.identity import STRANGER, Identity
from umbel.access.rules import Rules
from umbel.brokers.base import QueueDepths, QueueMessages
from umbel.clock import Clock
from umbel.control.audit import Audit
from umbel.control.commands import COMMANDS, Control
from umbel.control.runs import Runs
from umbel.control.schedules import ReadPlan
from umbel.export.sheets import TEXT_FORMATS, SheetMaker, text_sheet
from umbel.metrics.names import Snapshot
from umbel.settings import Settings
from umbel.status import PartStatus
from umbel.stores.base import StoreReader
from umbel.stores.journal import Journal
from umbel.telemetry.base import Tracer
from umbel.web.alerting import Alerts, Board
from umbel.web.entries import Entries
from umbel.web.login import Login
from umbel.web.notes import Notes
from umbel.web.pipeline import Pipeline, PipelineWatch
from umbel.web.readiness import Readiness, judge
from umbel.web.veil import Veiled


@dataclass
class Deps:
    """One for each app; safe to use from several threads."""

    reader: StoreReader
    #: What each part last said of itself, by part; reads small files.
    statuses: Callable[[], Mapping[str, PartStatus]]
    settings: Settings
    clock: Clock
    #: The metrics page and its content type.
    render_metrics: Callable[[Snapshot], tuple[bytes, str]]
    #: None where no broker is known.
    queues: QueueDepths | None
    #: Parts whose status can be seen from here and that should be running, such as receive and collect.
    parts: Sequence[str]
    #: Looks into queues and changes them; None where no broker is known, or its transport cannot.
    messages: QueueMessages | None = None
    #: Celery's remote control, made when it is first asked for; None where no broker is known.
    control: Callable[[], Control | None] = lambda: None
    #: How tasks are started and results read, made when it is first asked for; None where no broker is known.
    runs: Callable[[], Runs | None] = lambda: None
    #: None: what is done is not written down (in tests).
    audit: Audit | None = None
    #: What people and webs enter; None: nothing can be entered (in tests).
    journal: Journal | None = None
    #: Begins a file of an export, and the formats that it knows.
    sheet: SheetMaker = text_sheet
    formats: Sequence[str] = tuple(TEXT_FORMATS)
    #: What is watched, and who is told; None: nothing is.
    alerts: Alerts | None = None
    #: Reads what beat should run; None where nothing can be read.
    plan: ReadPlan | None = None
    #: What fires, as pages read it.
    board: Board = field(init=False, repr=False)
    #: What people entered, as pages read it.
    entries: Entries = field(init=False, repr=False)
    #: What webs know of tasks and no event tells.
    notes: Notes = field(init=False, repr=False)
    #: None: nobody has to sign in.
    login: Login | None = None
    #: None: requests are not traced.
    tracer: Tracer | None = None
    #: What a role may change.
    rules: Rules = field(init=False, repr=False)
    _watch: PipelineWatch = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.board = Board(self.alerts, self.clock)
        self.entries = Entries(self.journal, self.clock)
        self.notes = Notes(self.journal, self.clock)
        self._watch = PipelineWatch(self.reader, self.statuses, self.clock, self.parts)
        self.rules = Rules(self.settings.rules, tuple(COMMANDS))

    def veiled(self) -> Deps:
        """The same for those who do not see arguments and results."""
        made = copy.copy(self)
        made.reader = Veiled(self.reader)
        return made

    def pipeline(self) -> Pipeline:
        """How events flow just now, at most half a second old; never raises for a store that cannot be read."""
        return self._watch.view()

    def readiness(self) -> Readiness:
        """The same, judged: what is behind, disconnected or failing."""
        return judge(self.pipeline(), self.clock.now())


def get_deps(request: Request) -> Deps:
    """The `Deps` of the app that the request came to, as far as whoever asks may see."""
    deps: Deps = request.app.state.deps if identity_of(request).data else request.app.state.veiled
    return deps


def identity_of(request: Request) -> Identity:
    """Who asks, as the gate has recognised them."""
    found: Identity = request.scope.get("umbel.identity", STRANGER)
    return found


async def _injected(request: Request) -> Deps:
    # Not a plain function: that would cost a turn in the thread pool.
    return get_deps(request)


#: The type of a handler's parameter that takes the app's `Deps`.
Injected = Annotated[Deps, Depends(_injected)]
