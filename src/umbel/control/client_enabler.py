"""Makes workers send task events: told when first seen and when they come online, again until they have replied."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from umbel.clock import Clock, SystemClock
from umbel.control.commands import Control, EnableEvents
from umbel.logs import Limited
from umbel.sources.backoff import Backoff

log = logging.getLogger(__name__)

#: Workers remembered; one that is forgotten is merely told again.
KNOWN: Final = 10_000
#: Workers waiting to be told one by one; beyond that everybody is told.
PENDING: Final = 1_000
#: Seconds between two broadcasts: sightings of that time share one.
INTERVAL: Final = 0.5
#: Seconds that a wait before a retry lasts at most.
RETRY_MAX: Final = 60.0
#: Seconds to wait for replies. Each reply may be waited for that long, so it must fit twice into `STOP_WAIT`.
ASK_TIMEOUT: Final = 0.9
STOP_WAIT: Final = 2.0
#: Seconds until a worker that has not replied is told again, doubled each time. The first is a little less than the
#: 2 s between heartbeats: whoever was told before it listened is told again with the very next one.
AGAIN_FIRST: Final = 1.8
AGAIN_MAX: Final = 60.0
#: Workers that a warning names.
NAMED: Final = 5


@dataclass(slots=True)
class _Worker:
    """How one worker stands."""

    #: Questions asked when it came online: a reply to one of those may be its predecessor's.
    since: int = 0
    told: bool = False
    #: Monotonic time from which it may be told again, and the seconds until the time after that.
    due: float = 0.0
    wait: float = AGAIN_FIRST


class EventsEnabler:
    """A queue of workers to tell, and the thread that tells them. `saw` and `came_online` never wait.

    A worker publishes that it is online before it listens to remote control, and one without child processes does not
    listen while it runs a task. So a worker counts as told once it has replied, whatever the reply; until then it is
    told again when it is seen, ever more rarely. Nobody is told who is not seen.
    """

    def __init__(
        self,
        control: Control,
        *,
        clock: Clock | None = None,
        interval: float = INTERVAL,
        retry_max: float = RETRY_MAX,
    ) -> None:
        self._control = control
        self._clock = clock or SystemClock()
        self._limited = Limited(log, self._clock)
        self._interval = interval
        self._backoff = Backoff(retry_max)
        self._known: OrderedDict[str, _Worker] = OrderedDict()
        self._pending: dict[str, None] = {}
        #: All workers at the start, whoever they are.
        self._everyone = True
        #: Questions asked so far, the one under way included.
        self._asked = 0
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="umbel-enabler", daemon=True)
        self._thread.start()

    def saw(self, hostname: str) -> None:
        """A worker sent an event: tell it unless it has replied before, or was told a moment ago."""
        with self._changed:
            worker = self._known.get(hostname) or self._remember(hostname, _Worker())
            self._known.move_to_end(hostname)
            if not worker.told:
                self._ask_for(hostname, worker)

    def came_online(self, hostname: str) -> None:
        """A worker started, or its dispatcher did again, and has forgotten what it was told."""
        with self._changed:
            self._ask_for(hostname, self._remember(hostname, _Worker(since=self._asked)))

    def stop(self) -> None:
        """End the thread and close the control; may be called twice."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(STOP_WAIT)
        if self._thread.is_alive():
            log.warning("the broker does not take the latest control command; leaving without it")
            return
        self._control.close()

    def _remember(self, hostname: str, worker: _Worker) -> _Worker:
        self._known[hostname] = worker
        self._known.move_to_end(hostname)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return worker

    def _ask_for(self, hostname: str, worker: _Worker) -> None:
        now = self._clock.monotonic()
        if self._everyone or now < worker.due:
            return
        # Counted here, so that an absent one grows rare even where many of them make a broadcast to everybody.
        worker.due = now + worker.wait
        worker.wait = min(2 * worker.wait, AGAIN_MAX)
        self._pending[hostname] = None
        if len(self._pending) > PENDING:
            self._pending.clear()
            self._everyone = True
        self._changed.notify()

    def _run(self) -> None:
        while not self._stop.is_set():
            command = self._next()
            if command is None:
                continue
            try:
                answers = self._control.ask(command, ASK_TIMEOUT)
            except Exception as error:  # noqa: BLE001 - not ControlError alone: a strange reply must not end the thread
                self._failed(error)
                self._stop.wait(self._backoff.delay())
                continue
            self._backoff.reset()
            self._heard(answers)
            self._stop.wait(self._interval)

    def _next(self) -> EnableEvents | None:
        """Whom to tell now; None when it is time to look at `stop`."""
        with self._changed:
            if not self._everyone and not self._pending:
                self._changed.wait(1.0)
            if not self._everyone and not self._pending:
                return None
            command = EnableEvents(() if self._everyone else tuple(self._pending))
            self._everyone = False
            self._pending.clear()
            self._asked += 1
            return command

    def _heard(self, answers: Mapping[str, Any]) -> None:
        with self._changed:
            for hostname in answers:
                worker = self._known.get(hostname) or self._remember(hostname, _Worker())
                if worker.since < self._asked:
                    worker.told = True
                    self._pending.pop(hostname, None)
        refused = {
            hostname: answer["error"]
            for hostname, answer in answers.items()
            if isinstance(answer, Mapping) and "error" in answer
        }
        if refused:
            self._refused(refused)

    def _refused(self, errors: Mapping[str, object]) -> None:
        """Say who can send no task events; asking once more would change nothing until they start anew."""
        names = ", ".join(list(errors)[:NAMED])
        more = f" and {len(errors) - NAMED:,} more" if len(errors) > NAMED else ""
        why = str(next(iter(errors.values())))[:300]
        self._limited.warning(
            "enable-events-refused", f"{names}{more} will send no task events: {why}. Start with -E (--task-events)."
        )

    def _failed(self, error: Exception) -> None:
        # Who came or went while the broker was away is unknown: tell everybody once it is back, and who then is silent
        # as soon as it is seen.
        with self._changed:
            self._everyone = True
            self._known.clear()
        text = str(error) or repr(error)
        self._limited.warning("enable-events", f"workers could not be told to send task events: {text}")
