"""A rule of alerts that is made on the page: written, tried before it is kept, changed, taken away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from anyio import to_thread
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from umbel.alerts.made import Kept
from umbel.alerts.rules import Kind, Rule, Severity, keys_of, needed
from umbel.alerts.written import table_of, toml_of
from umbel.errors import SettingsError
from umbel.web.actions import Actions
from umbel.web.deps import Deps, get_deps, identity_of
from umbel.web.forms import pairs, parse
from umbel.web.pages.alerts import FORM, Tried, changed, words
from umbel.web.render import page

router = APIRouter()

#: What each kind watches, as the choice of kinds says it.
KINDS: Final[Mapping[Kind, str]] = {
    Kind.SEARCH: "how many tasks a search finds",
    Kind.FAILURES: "the share of tasks that fail",
    Kind.LATENCY: "how long tasks run or wait",
    Kind.QUEUE: "how many messages wait in a queue",
    Kind.QUEUE_AGE: "how long a task has waited in a queue",
    Kind.WORKER: "a worker that is gone",
    Kind.SCHEDULE: "an entry of beat that did not run",
    Kind.EXCEPTION: "a kind of failure never seen before",
    Kind.EVENTS: "events that were lost",
    Kind.UMBEL: "Umbel itself",
}
#: Of each key: what the form calls it, and how it is written.
LABELS: Final[Mapping[str, tuple[str, str]]] = {
    "search": ("Search", "as on the page of tasks: state:FAILURE name:mail.*"),
    "over": ("More than", ""),
    "under": ("or fewer than", "one of the two"),
    "within": ("Within", "10m, 2h, 1d"),
    "at_least": ("Of at least", "tasks that ended"),
    "task": ("Task", "* for any run of characters"),
    "queue": ("Queue", "* for any run of characters"),
    "worker": ("Worker", "* for any run of characters"),
    "entry": ("Entry of beat", "* for any run of characters"),
    "per": ("Judged", ""),
    "of": ("Of", ""),
    "percentile": ("Percentile", "1 to 100"),
    "severity": ("Severity", ""),
    "for": ("For", "how long it must hold first: 2m"),
    "keep_firing_for": ("Keep firing for", "how long it must be over"),
    "to": ("Tells", "all, unless some are chosen"),
    "text": ("Text", "for whoever is woken"),
    "repeat": ("Tell again every", "while it lasts; never, if empty"),
}
#: How the threshold of a kind is written.
OVER: Final[Mapping[Kind, str]] = {
    Kind.SEARCH: "tasks",
    Kind.FAILURES: "percent",
    Kind.LATENCY: "500ms, 5s",
    Kind.QUEUE: "messages",
    Kind.QUEUE_AGE: "90s, 10m",
    Kind.SCHEDULE: "late by: 5m",
    Kind.EVENTS: "events",
}
CHOICES: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "per": (("name", "each task name"), ("all", "all together")),
    "of": (("run", "run time"), ("wait", "waiting time")),
    "severity": tuple((one.value, one.value) for one in Severity),
}


@dataclass(frozen=True, slots=True)
class Box:
    """A field of the form."""

    key: str
    label: str
    note: str
    #: What stands in it; of `to`, each chosen one.
    value: Sequence[str]
    #: Values and what they are called; none: a text.
    choices: Sequence[tuple[str, str]] = ()
    required: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    kind: Kind
    kinds: Mapping[Kind, str]
    name: str
    boxes: Sequence[Box]
    #: The rule that is changed; None where one is made.
    kept: Kept | None
    #: Why it cannot be used, what it found when it was tried, and how a file would say it.
    problem: str = ""
    trial: Tried | None = None
    words: str = ""
    toml: str = ""


@router.get("/alerts/rule", response_class=HTMLResponse)
def show(request: Request, deps: Annotated[Deps, Depends(get_deps)]) -> HTMLResponse:
    """The form: of the rule `name`, of one like the rule `like`, or of a new one of the kind `on`."""
    asked = dict(parse(request.url.query))
    _allow(request, deps)
    view = deps.board.view()
    if name := asked.get("name", ""):
        if name not in view.made:
            raise HTTPException(404, f"No rule named {name[:50]!r} was made on the page.")
        return _form(request, deps, view.made[name].made.table)
    like = next((rule for rule in view.rules if rule.name == asked.get("like")), None)
    table = {**table_of(like), "name": ""} if like else {"on": asked.get("on", Kind.SEARCH.value)}
    return _form(request, deps, table)


@router.post("/alerts/rule", response_class=HTMLResponse)
async def keep(request: Request, deps: Annotated[Deps, Depends(get_deps)]) -> Response:
    """Try it, or keep it; where it cannot be used, the form says why."""
    fields = await pairs(request, FORM)
    _allow(request, deps)
    table = written(fields)

    def tried() -> Response:
        return _form(request, deps, table, Tried.of(deps, deps.board.readable(table)))

    try:
        if ("do", "try") in fields:
            return await to_thread.run_sync(tried)
        await kept(request, deps, table, "page")
    except SettingsError as error:
        problem = str(error)
        return await to_thread.run_sync(lambda: _form(request, deps, table, problem=problem))
    return _back(deps)


@router.post("/alerts/rule/delete")
async def delete(request: Request, deps: Annotated[Deps, Depends(get_deps)]) -> Response:
    """Forget a rule of the page."""
    await dropped(request, deps, dict(await pairs(request, FORM)).get("rule", ""), "page")
    return _back(deps)


async def kept(request: Request, deps: Deps, table: Mapping[str, Any], via: str) -> Rule:
    """Keep the rule of a table; raises `SettingsError` where it cannot be used."""
    rule, who = deps.board.readable(table), identity_of(request).name
    await changed(request, "keep_rule", table_of(rule), lambda: deps.board.keep(rule, who), via)
    return rule


async def dropped(request: Request, deps: Deps, name: str, via: str) -> None:
    """Forget a rule of the page; raises 404 for one that there is not."""
    who = identity_of(request).name
    if not await changed(request, "delete_rule", {"rule": name[:80]}, lambda: deps.board.drop(name, who), via):
        raise HTTPException(404, "No rule of that name was made on the page; those of the configuration stand there.")


def written(fields: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The table that a form stands for; numbers are numbers, and what the form does not know is left out."""
    given = dict(fields)
    table: dict[str, Any] = {key: _value(key, given[key]) for key in ("name", "on", *LABELS) if key in given}
    if to := [value for key, value in fields if key == "to"]:
        table["to"] = to
    return table


def _value(key: str, text: str) -> Any:
    if key not in ("over", "under", "at_least", "percentile"):
        return text
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        # A duration, or something that is told to be wrong.
        return text


def _allow(request: Request, deps: Deps) -> None:
    actions: Actions = request.app.state.actions
    actions.allow()
    if not deps.board.view().kept:
        raise HTTPException(404, "There are no alerts here: start Umbel with --alerts or --alert-to.")


def _form(
    request: Request, deps: Deps, table: Mapping[str, Any], trial: Tried | None = None, problem: str = ""
) -> HTMLResponse:
    word = str(table.get("on", ""))
    if word not in list(Kind):
        raise HTTPException(400, f"on: {word[:50]!r} is nothing to watch.")
    kind, name = Kind(word), str(table.get("name", ""))
    context = Context(
        kind=kind,
        kinds=KINDS,
        name=name,
        boxes=[_box(deps, kind, key, table) for key in keys_of(kind)],
        kept=deps.board.view().made.get(name),
        problem=problem,
        trial=trial,
        words=words(trial.rule) if trial else "",
        toml=toml_of(trial.rule) if trial else "",
    )
    return page(request, "rule", context, status=400 if problem else 200)


def _box(deps: Deps, kind: Kind, key: str, table: Mapping[str, Any]) -> Box:
    label, note = LABELS[key]
    given = table.get(key, "")
    value = [str(one) for one in given] if isinstance(given, list) else [str(given)]
    if key == "to":
        names = dict.fromkeys(one.name.partition("/")[0] for one in deps.board.config.destinations)
        return Box(key, label, note, value, [(name, name) for name in names])
    required = any(choices == (key,) for choices in needed(kind))
    return Box(key, label, OVER[kind] if key == "over" else note, value, CHOICES.get(key, ()), required)


def _back(deps: Deps) -> Response:
    return RedirectResponse(f"{deps.settings.url_prefix}/alerts", 303)
