"""Starts tasks and reads results through the configured app, or through a bare one that knows broker and backend."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from celery.backends.base import DisabledBackend
from celery.backends.rpc import RPCBackend
from celery.contrib.abortable import AbortableAsyncResult
from celery.exceptions import ImproperlyConfigured

from umbel.clock import Clock, SystemClock
from umbel.control import client_again
from umbel.control.client import TIMEOUT, make_app
from umbel.control.client_kin import kin_of
from umbel.control.runs import OPTIONS, Kin, NoBackend, Order, Result, UnknownTask, WrongArguments
from umbel.errors import ControlError, SettingsError
from umbel.model.message import Outgoing, Parcel
from umbel.model.task import epoch
from umbel.settings import Settings

log = logging.getLogger(__name__)

#: Publishing is tried this often; Celery's own default waits for the broker for ever.
RETRY: Final = {"max_retries": 1, "interval_start": 0.0, "interval_step": 0.2, "interval_max": 0.2}

Answer = TypeVar("Answer")


class CeleryRuns:
    """`umbel.control.runs.Runs`; `load` finds the app that the settings name, and is called when it is first needed."""

    def __init__(self, settings: Settings, load: Callable[[str], Any], clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._load = load
        self._lock = threading.Lock()
        self._made: Any = None

    @property
    def has_backend(self) -> bool:
        return not isinstance(self._guard(lambda app: app.backend), DisabledBackend)

    def knows(self, name: str) -> bool | None:
        return name in self._app().tasks if self._settings.app else None

    def send(self, order: Order) -> str:
        options = {key: value for key, value in order.options.items() if key in OPTIONS}
        if ignored := sorted(order.options.keys() - options.keys()):
            log.warning("options that Celery does not know are left out: %s", ", ".join(ignored)[:300])
        options.setdefault("retry_policy", RETRY)
        given = {"args": list(order.args), "kwargs": dict(order.kwargs), **options}

        def send(app: Any) -> str:
            if not (self._settings.app and order.registered):
                return str(app.send_task(order.name, **given).id)
            if order.name not in app.tasks:
                raise UnknownTask(f"the app has no task {order.name!r}")
            try:
                return str(app.tasks[order.name].apply_async(**given).id)
            except TypeError as error:
                raise WrongArguments(str(error)) from error

        return self._guard(send)

    def result(self, task_id: str) -> Result:
        def read(app: Any) -> Result:
            meta = self._backend(app).get_task_meta(task_id)
            state = str(meta["status"])
            ready = state in app.backend.READY_STATES
            value = _plain(meta.get("result")) if ready else None
            stored_at, worker = _moment(meta.get("date_done")), str(meta.get("worker") or "")
            return Result(state, ready, value, meta.get("traceback"), stored_at, worker)

        return self._guard(read)

    def kin(self, task_ids: Sequence[str], patience: float) -> Mapping[str, Kin]:
        def read(app: Any) -> dict[str, Kin]:
            backend = self._backend(app)
            if isinstance(backend, RPCBackend):
                raise NoBackend("rpc:// keeps results for nobody but who sent the task")
            deadline = self._clock.monotonic() + patience
            found: dict[str, Kin] = {}
            for task_id in task_ids:
                if self._clock.monotonic() >= deadline:
                    break
                found[task_id] = kin_of(backend.get_task_meta(task_id, cache=False))
            return found

        return self._guard(read)

    def recall(self, task_id: str) -> Parcel | None:
        return self._guard(lambda app: client_again.of_meta(self._backend(app).get_task_meta(task_id, cache=False)))

    def publish(self, outgoing: Outgoing) -> str:
        return self._guard(lambda app: client_again.publish(app, outgoing, retry_policy=RETRY))

    def names(self) -> Sequence[str]:
        found = self._guard(lambda app: list(app.tasks)) if self._settings.app else []
        return sorted(name for name in found if not name.startswith("celery."))

    def abort(self, task_id: str) -> None:
        self._guard(lambda app: AbortableAsyncResult(task_id, backend=self._backend(app), app=app).abort())

    def close(self) -> None:
        """Only what was made here is closed; the app of the settings is its owner's."""
        with self._lock:
            if self._made is not None and not self._settings.app:
                self._made.close()
            self._made = None

    def _backend(self, app: Any) -> Any:
        if isinstance(app.backend, DisabledBackend):
            raise NoBackend("no result backend is known. Start Umbel with --result-backend or -A")
        return app.backend

    def _app(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._configured() if self._settings.app else _bare(self._settings)
            return self._made

    def _configured(self) -> Any:
        """The app, with the broker and the backend that Umbel uses: an option may have named others."""
        app = self._load(self._settings.app)
        app.conf.broker_url = self._settings.broker
        if self._settings.result_backend:
            app.conf.result_backend = self._settings.result_backend
        return app

    def _guard(self, use: Callable[[Any], Answer]) -> Answer:
        try:
            return use(self._app())
        except (ControlError, SettingsError):
            raise
        except (ImportError, ImproperlyConfigured) as error:
            raise ControlError(f"the result backend cannot be used: {error}") from error
        except Exception as error:
            # Each transport and backend has errors of its own.
            raise ControlError(f"Celery failed: {str(error) or repr(error)}") from error


def _bare(settings: Settings) -> Any:
    app = make_app(settings)
    app.conf.update(
        result_backend=settings.result_backend or None,
        # So that the queue of what is sent here is told.
        task_send_sent_event=True,
        result_accept_content=["json"],
        result_serializer="json",
        redis_socket_timeout=TIMEOUT,
        redis_socket_connect_timeout=TIMEOUT,
        redis_retry_on_timeout=False,
        result_backend_max_retries=1,
    )
    return app


def _moment(value: Any) -> float | None:
    """UTC seconds of a backend's moment: a text or a `datetime`, naive ones in UTC."""
    return epoch(value.isoformat() if isinstance(value, datetime) else str(value or ""))


def _plain(value: Any) -> Any:
    """The value if JSON can hold it, else its `repr`."""
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
    return value
