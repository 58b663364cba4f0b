"""The terminal program: tabs, keys, and the page of one task."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Header, Input, Static, TabbedContent, TabPane

from umbel.access.identity import EVERYBODY
from umbel.top.paint import clock, state
from umbel.top.views import VIEWS, TasksView, View
from umbel.web.deps import Deps
from umbel.web.filters import duration, quoted
from umbel.web.pages import task


class TaskScreen(Screen[None]):
    """What happened to one task."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,backspace", "app.pop_screen", "Back")]

    def __init__(self, deps: Deps, task_id: str) -> None:
        super().__init__()
        self.deps = deps
        self.task_id = task_id

    def compose(self) -> ComposeResult:
        yield Header()
        with VerticalScroll():
            yield Static(id="story")
        yield Footer()

    def on_mount(self) -> None:
        context = task.load(self.deps, self.task_id, EVERYBODY)
        self.query_one("#story", Static).update(story(context, self.task_id))


def story(context: task.Context | None, task_id: str) -> Text:
    """A task as text: figures, attempts, arguments, result, traceback."""
    if context is None:
        return Text(f"There is no task {task_id}: never seen, or older than what is kept.", "red")
    found = context.task
    text = Text.assemble((found.name or "unknown name", "bold"), "  ", state(found.state.value), f"\n{found.id}\n\n")
    for title, value in (
        ("worker", found.worker),
        ("queue", found.queue),
        ("wait", duration(found.wait_seconds)),
        ("run", duration(found.run_seconds)),
        ("retries", str(found.retries)),
        ("parent", found.parent_id),
        ("root", found.root_id),
    ):
        if value:
            text.append(f"{title:>9}  ", "dim").append(f"{value}\n")
    text.append("\n")
    for number, attempt in enumerate(context.attempts, 1):
        times = " → ".join(clock(at) or "?" for at in (attempt.received_at, attempt.started_at, attempt.finished_at))
        text.append(f"attempt {number}  ", "dim").append_text(state(attempt.state.value))
        text.append(f"  {times}  {attempt.worker}\n")
    for title, value in (
        ("arguments", f"{context.args} {context.kwargs}"),
        ("result", context.result or ""),
        ("traceback", context.traceback or context.exception),
    ):
        if value.strip():
            text.append(f"\n{title}\n", "bold").append(f"{value}\n")
    return text


class Top(App[None]):
    """`umbel top`."""

    TITLE = "Umbel"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #figures { height: auto; padding: 1 1 0 1; }
    #changes { height: auto; padding: 0 1 1 1; }
    #found { height: 1; padding: 0 1; }
    #story { padding: 1 2; }
    DataTable { height: 1fr; }
    TabPane { padding: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(n), f"view('{id_}')", title) for n, (id_, title, _) in enumerate(VIEWS, 1)),
        Binding("p", "pause", "Pause"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, deps: Deps, query: str = "") -> None:
        super().__init__()
        self.deps = deps
        self.first_query = query
        self.paused = False

    def compose(self) -> ComposeResult:
        yield Header(show_clock=True)
        with TabbedContent(initial="tab-tasks-view" if self.first_query else "tab-overview"):
            for id_, title, kind in VIEWS:
                with TabPane(title, id=f"tab-{id_}"):
                    yield TasksView(self.deps, id_, self.first_query) if kind is TasksView else kind(self.deps, id_)
        yield Footer()

    def on_mount(self) -> None:
        for view in self.query(View):
            self.set_interval(view.every, lambda view=view: self._tick(view))

    def _tick(self, view: View[Any]) -> None:
        """Only what is looked at is loaded."""
        if not self.paused and len(self.screen_stack) == 1 and self._active(view):
            view.refresh_now()

    def _active(self, view: View[Any]) -> bool:
        return self.query_one(TabbedContent).active == f"tab-{view.id}"

    def on_tabbed_content_tab_activated(self, event: TabbedContent.TabActivated) -> None:
        event.pane.query_one(View).refresh_now()

    def action_view(self, id_: str) -> None:
        self.query_one(TabbedContent).active = f"tab-{id_}"
        tables = self.query_one(f"#{id_}").query(DataTable)
        if tables:
            tables.first().focus()

    def action_pause(self) -> None:
        self.paused = not self.paused
        self.sub_title = "paused" if self.paused else ""

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        key = event.row_key.value or ""
        if event.data_table.id in ("tasks", "errors"):
            self.push_screen(TaskScreen(self.deps, key))
        elif event.data_table.id in ("names", "workers"):
            field = "name" if event.data_table.id == "names" else "worker"
            self._search(f"{field}:{quoted(key)}")

    def _search(self, query: str) -> None:
        view = self.query_one(TasksView)
        view.query_one("#q", Input).value = query
        view.search_text = query
        self.action_view("tasks-view")
        view.action_newest()
