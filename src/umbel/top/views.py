"""The views of `umbel top`: each asks one loader of the web's pages, in a thread, and draws what it gave."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final, Generic, TypeVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import DataTable, Input, Static

from umbel.errors import UmbelError
from umbel.top.paint import clock, line, right, spark, state
from umbel.web.deps import Deps
from umbel.web.filters import capped, duration, number, percent
from umbel.web.pages import errors, names, overview, tasks, workers

C = TypeVar("C")
Cells = tuple[Any, ...]

#: Columns of a sparkline.
SPARK: Final = 60


class View(Vertical, Generic[C]):
    """One tab; `load` runs in a thread, `draw` in the terminal's."""

    #: Seconds between two looks at the store.
    every: ClassVar[float] = 2.0

    def __init__(self, deps: Deps, id_: str) -> None:
        super().__init__(id=id_)
        self.deps = deps

    def load(self) -> C:
        raise NotImplementedError

    def draw(self, context: C) -> None:
        raise NotImplementedError

    @work(thread=True, exclusive=True, group="load")
    def refresh_now(self) -> None:
        """Load and draw; what cannot be read is said, and what is shown stays."""
        try:
            context = self.load()
        except UmbelError as error:
            self.app.call_from_thread(self._say, str(error))
            return
        self.app.call_from_thread(self._drawn, context)

    def _drawn(self, context: C) -> None:
        self._say("")
        self.draw(context)

    def _say(self, problem: str) -> None:
        self.app.sub_title = f"⚠ {problem}" if problem else ""


def fill(table: DataTable[Any], rows: Iterable[tuple[str, Cells]]) -> None:
    """Put rows by key into the table; the cursor stays on its row where that is still there."""
    keys = [row.value for row in table.rows]
    at = keys[table.cursor_row] if 0 <= table.cursor_row < len(keys) else None
    table.clear()
    for key, cells in rows:
        table.add_row(*cells, key=key)
    found = [row.value for row in table.rows]
    if at in found:
        table.move_cursor(row=found.index(at), scroll=False)


def listing(id_: str, columns: Sequence[str]) -> DataTable[Any]:
    """A table whose rows can be chosen."""
    table: DataTable[Any] = DataTable(id=id_, cursor_type="row", zebra_stripes=True)
    for column in columns:
        table.add_column(column, key=column)
    return table


class OverviewView(View[overview.Context]):
    """How much runs, how long it takes, what fails."""

    def compose(self) -> ComposeResult:
        yield Static(id="figures")
        yield Static(id="changes")
        yield listing("failures", ("Exception", "Task", "Failures"))

    def load(self) -> overview.Context:
        return overview.load(self.deps)

    def draw(self, context: overview.Context) -> None:
        self.query_one("#figures", Static).update(_figures(context))
        found = context.changes.found[: context.shown_changes]
        changes = Text("\n").join(Text(f"{one.kind:>8}  {one.subject}  {one.detail}", "yellow") for one in found)
        self.query_one("#changes", Static).update(changes)
        rows = [
            (
                str(n),
                (Text(one.count.exception_type or "unknown", "red"), one.count.name, right(f"{one.count.count:,}")),
            )
            for n, one in enumerate(context.failures)
        ]
        fill(self.query_one("#failures", DataTable), rows)


def _figures(context: overview.Context) -> Text:
    failed = percent(context.failure_share)
    rows = (
        (
            "Throughput",
            f"{number(context.rate)}/s",
            f"{context.succeeded:,} succeeded in {context.span.name}",
            "succeeded",
        ),
        ("Failed", f"{context.failed:,}", f"{failed} of what ended, {context.retried:,} retries", "failed"),
        ("Workers", f"{context.online:,}", f"online, {context.gone:,} gone, {context.active:,} tasks running", ""),
        ("Wait p95", duration(context.wait_now.p95), f"p50 {duration(context.wait_now.p50)}", "wait"),
        ("Run p95", duration(context.run_now.p95), f"p50 {duration(context.run_now.p50)}", "run"),
    )
    text = Text()
    for title, value, note, drawn in rows:
        text.append(f"{title:<11}", "bold")
        text.append(f"{value:>10}  ", "bold red" if title == "Failed" and context.failed else "bold")
        text.append(f"{note:<44} ", "dim")
        text.append_text(_spark(context, drawn))
        text.append("\n")
    for entry in context.losses[:3]:
        about = "about " if entry.estimated else ""
        text.append(f"lost       {about}{entry.count:,} events, {entry.reason.value.replace('_', ' ')}\n", "bold red")
    return text


def _spark(context: overview.Context, drawn: str) -> Text:
    if drawn in ("succeeded", "failed"):
        return line(context.throughput, drawn, SPARK, "green" if drawn == "succeeded" else "red")
    if drawn in ("wait", "run"):
        return line(context.wait if drawn == "wait" else context.run, "p95", SPARK, "yellow")
    return Text()


class TasksView(View[tasks.Context]):
    """A search; rows that are shown never move, newer ones are counted."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", key_display="/"),
        Binding("n", "newest", "Newest"),
    ]

    def __init__(self, deps: Deps, id_: str, query: str = "") -> None:
        super().__init__(deps, id_)
        self.search_text = query
        self._kept: list[str] = []

    def compose(self) -> ComposeResult:
        yield Input(self.search_text, placeholder="state:FAILURE name:shop.* run:>5s", id="q")
        yield Static(id="found")
        yield listing("tasks", ("State", "Name", "Id", "Worker", "Received", "Wait", "Run", "Retries", "Exception"))

    def load(self) -> tasks.Context:
        return tasks.load(self.deps, self.search_text, since=self._kept)

    def draw(self, context: tasks.Context) -> None:
        if context.problem is not None:
            wrong = context.problem
            said = Text.assemble(f"{wrong.reason}: {wrong.before}", (wrong.at or " ", "reverse red"), wrong.after)
            self.query_one("#found", Static).update(said)
            return
        self._kept = [row.task.id for row in context.rows]
        new = f"   +{capped(context.new)} new: press n" if context.new.n else ""
        count = capped(context.count) if context.count else "0"
        part = "" if context.complete else ", not all history searched yet"
        self.query_one("#found", Static).update(Text(f"{count} tasks{part}{new}", "bold" if new else ""))
        fill(self.query_one("#tasks", DataTable), [(row.task.id, _task_cells(row)) for row in context.rows])

    def action_search(self) -> None:
        self.query_one(Input).focus()

    def action_newest(self) -> None:
        self._kept = []
        self.refresh_now()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.search_text = event.value
        self.query_one("#tasks").focus()
        self.action_newest()


def _task_cells(row: tasks.Row) -> Cells:
    task = row.task
    return (
        state(task.state.value),
        task.name or "unknown name",
        Text(task.id[:8], "dim"),
        task.worker,
        clock(task.received_at or task.sent_at),
        right(duration(task.wait_seconds)),
        right(duration(task.run_seconds)),
        right(task.retries or ""),
        Text(task.exception[:80], "red"),
    )


class NamesView(View[names.Context]):
    """One row for each task name."""

    every = 5.0

    def compose(self) -> ComposeResult:
        yield listing(
            "names", ("Name", "Ended", "Tasks", "Failed", "Retries", "Wait p95", "Run p50", "Run p95", "Run p99")
        )

    def load(self) -> names.Context:
        return names.load(self.deps)

    def draw(self, context: names.Context) -> None:
        fill(self.query_one("#names", DataTable), [(row.name, _name_cells(row)) for row in context.rows])


def _name_cells(row: names.Row) -> Cells:
    columns = [0.0] * names.COLUMNS
    for bar in row.spark:
        columns[min(names.COLUMNS - 1, int(bar.x / 100 * names.COLUMNS))] = bar.height
    return (
        row.name or "unknown name",
        Text(spark(columns, names.COLUMNS), "green"),
        right(f"{row.ended:,}"),
        Text(percent(row.failure_share), "red" if row.failed else "dim", justify="right"),
        right(f"{row.retried:,}"),
        right(duration(row.wait.p95)),
        right(duration(row.run.p50)),
        right(duration(row.run.p95)),
        right(duration(row.run.p99)),
    )


class ErrorsView(View[errors.Context]):
    """The newest failures by fingerprint: those that are open, or all with what was called resolved."""

    every = 5.0
    BINDINGS: ClassVar[list[BindingType]] = [Binding("r", "resolved", "Resolved too")]

    def __init__(self, deps: Deps, id_: str) -> None:
        super().__init__(deps, id_)
        self._show = ""

    def compose(self) -> ComposeResult:
        yield Static(id="resolved")
        yield listing("errors", ("", "Exception", "Message", "Raised in", "Failures", "First", "Last"))

    def load(self) -> errors.Context:
        return errors.load(self.deps, show_=self._show)

    def draw(self, context: errors.Context) -> None:
        told = (("back again", context.regressed), ("resolved", context.resolved))
        self.query_one("#resolved", Static).update(", ".join(f"{count:,} {word}" for word, count in told if count))
        fill(self.query_one("#errors", DataTable), [(row.kind.latest.id, _error_cells(row)) for row in context.rows])

    def action_resolved(self) -> None:
        self._show = "" if self._show else "all"
        self.refresh_now()


#: How a row begins that is neither open nor new.
_MARKS: Final = {"regressed": Text("back", "bold red"), "resolved": Text("resolved", "green")}


def _error_cells(row: errors.Row) -> Cells:
    kind = row.kind
    return (
        _MARKS.get(row.state) or (Text("new", "bold red") if row.new else ""),
        Text(kind.fingerprint.type or "unknown", "red"),
        kind.fingerprint.message[:70],
        Text(kind.fingerprint.place, "dim"),
        right(f"{row.count:,}"),
        clock(kind.first_at),
        clock(kind.last_at),
    )


class WorkersView(View[workers.Context]):
    """Who is there, what they do, who is gone."""

    def compose(self) -> ComposeResult:
        yield listing(
            "workers", ("State", "Worker", "Running", "Processed", "Load", "Heartbeat", "Software", "Restarts")
        )

    def load(self) -> workers.Context:
        return workers.load(self.deps)

    def draw(self, context: workers.Context) -> None:
        fill(self.query_one("#workers", DataTable), [(row.worker.hostname, _worker_cells(row)) for row in context.rows])


def _worker_cells(row: workers.Row) -> Cells:
    worker, beat, software = row.worker, row.worker.heartbeat, row.worker.software
    return (
        state(row.state),
        worker.hostname,
        right(f"{beat.active:,}" if beat else ""),
        right(f"{beat.processed:,}" if beat else ""),
        " ".join(f"{one:.2f}" for one in beat.loadavg[:3]) if beat and beat.loadavg else "",
        clock(worker.seen_at),
        f"{software.ident} {software.version}" if software else "",
        right(row.restarts or ""),
    )


VIEWS: Final[tuple[tuple[str, str, type[View[Any]]], ...]] = (
    ("overview", "Overview", OverviewView),
    ("tasks-view", "Tasks", TasksView),
    ("names-view", "Names", NamesView),
    ("errors-view", "Errors", ErrorsView),
    ("workers-view", "Workers", WorkersView),
)


def shown(widget: Widget | None) -> View[Any] | None:
    """The view that a widget is in."""
    while widget is not None and not isinstance(widget, View):
        parent = widget.parent
        widget = parent if isinstance(parent, Widget) else None
    return widget
