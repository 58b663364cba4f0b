"""What is asked: every address that the table of routes answers a GET at, with what makes it dear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

from answering.history import WORKFLOWS
from answering.rig import Umbel
from stores.history import WORKERS
from umbel.web import routes

SEARCHES: Final = (
    "",
    "state:FAILURE",
    'name:="shop.app3.tasks.task_3"',
    "name:shop.app1* run:>1s",
    'worker:"celery@worker-7"',
    "exception:TimeoutError",
    "exception:ValueError",
    "args:customer-4242",
    "Dresden",
    "queue:mail -state:SUCCESS",
    "received:>-1h",
    "absent-everywhere",
)
RANGES: Final = ("1h", "24h")
NAME: Final = quote("shop.app1.tasks.task_0", safe="")
WORKER: Final = quote(WORKERS[7], safe="")
#: Routes that are not asked, and why.
LEFT_OUT: Final[Mapping[str, str]] = {
    "/hints": "it never ends",
    "/static/{version}/{name:path}": "files",
    "/inspect/{hostname:path}": "it waits for the worker",
    "/bulk/{run_id}": "there is no bulk action",
    "/alerts/rule": "there is no rule",
    "/again/{task_id:path}": "it asks the result backend",
    "/start": "it needs the right to run tasks",
    "/api/task/result/{task_id:path}": "it asks the result backend",
    "/api/v1/tasks/export": "it sends the whole history",
    "/api/v1/audit/export": "as above, of the audit trail",
    "/api/v1/queues/dead-letters": "Redis has none",
    "/login": "there is no login",
    "/logout": "nobody is signed in",
    "/access": "nobody is signed in",
    "/task/{task_id:path}": "sends on to the task's page",
    "/worker/{name:path}": "sends on to the worker's page",
    "/broker": "sends on to the queues",
}


def addresses(web: Umbel) -> list[str]:
    """All of them; ends the program where a route is neither asked nor left out."""
    tasks = {state: _newest(web, f"state:{state}") for state in ("SUCCESS", "FAILURE")}
    known = _known(tasks["SUCCESS"], tasks["FAILURE"])
    asked: list[str] = []
    for path in _paths():
        if path in known:
            asked += known[path]
        elif "{" not in path and path not in LEFT_OUT:
            asked.append(path)
        elif path not in LEFT_OUT:
            raise SystemExit(f"{path}: say in {__file__} what to ask there, or why not")
    return asked


def _paths() -> Iterator[str]:
    """Every route that answers a GET, pages first; each once."""
    found: dict[str, None] = {}
    pages = [route for router in routes.PAGES for route in router.routes]
    for route in (*pages, *routes.every()):
        methods: Any = getattr(route, "methods", None) or ()
        if "GET" in methods:
            found[getattr(route, "path", "")] = None
    yield from found


def _newest(web: Umbel, q: str) -> str:
    task: str = web.json(f"/api/v1/tasks?{urlencode({'q': q, 'limit': 1})}")["items"][0]["id"]
    return quote(task)


def _known(task: str, failed: str) -> dict[str, Sequence[str]]:
    """By route, what is asked there."""
    searches = [urlencode({"q": q}) for q in SEARCHES]
    flows = list(WORKFLOWS)
    table = "/tasks/datatable?draw=1&start=0&length=15&columns[0][data]=received&order[0][column]=0&order[0][dir]=desc"
    return {
        "/": [f"/?range={one}" for one in RANGES],
        "/tasks": [*(f"/tasks?{one}" for one in searches), "/tasks?state=FAILURE,RETRY"],
        "/tasks/{task_id:path}": [f"/tasks/{task}", f"/tasks/{failed}", f"/tasks/{flows[-1]}"],
        "/tasks/{task_id:path}/workflow": [f"/tasks/{root}/workflow" for root in flows],
        "/names": [f"/names?range={one}" for one in RANGES],
        "/names/{name:path}": [f"/names/{NAME}?range={one}" for one in RANGES],
        "/errors": [f"/errors?range={one}" for one in RANGES],
        "/queue": ["/queue?name=celery"],
        "/workers/{hostname:path}": [f"/workers/{WORKER}"],
        "/control/{method}": [f"/control/shutdown?destination={WORKER}"],
        "/compare": [f"/compare?a={task}&b={failed}"],
        "/api/v1/tasks": [f"/api/v1/tasks?{one}" for one in searches],
        "/api/v1/tasks/count": [f"/api/v1/tasks/count?{one}" for one in searches],
        "/api/v1/tasks/{task_id:path}": [f"/api/v1/tasks/{task}"],
        "/api/v1/tasks/{task_id:path}/workflow": [f"/api/v1/tasks/{root}/workflow" for root in flows],
        "/api/v1/names": [f"/api/v1/names?range={one}" for one in RANGES],
        "/api/v1/errors": [f"/api/v1/errors?range={one}" for one in RANGES],
        "/api/v1/changes": [f"/api/v1/changes?range={one}" for one in RANGES],
        "/api/v1/suggest": ["/api/v1/suggest?q=name:shop", "/api/v1/suggest?q=worker:"],
        "/api/v1/places": ["/api/v1/places?q=", "/api/v1/places?q=shop.app1"],
        "/api/tasks": ["/api/tasks?limit=100"],
        "/api/task/info/{task_id:path}": [f"/api/task/info/{task}"],
        "/tasks/datatable": [table],
    }
