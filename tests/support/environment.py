"""What every test process starts from: a clean environment, free ports, and a word about what is missing."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable
from typing import Final, NoReturn

import pytest

#: Variables that would change what Umbel, Celery or Flower do.
PREFIXES = ("UMBEL_", "CELERY_", "FLOWER_", "OTEL_", "SENTRY_")

_given: set[int] = set()
#: Not the shared one, which tests seed.
_random = random.SystemRandom()


def clean_environment() -> dict[str, str]:
    """A copy of the environment without the variables that would change what is tested."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}


#: Ports for servers: below those that outgoing connections take, or one may be gone before a slow server listens on it.
PORTS: Final = range(12_000, 32_000)
#: Processes of a run that ask for ports at once; each has its own share.
SHARES: Final = 16


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, never the same twice in one run."""
    share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % SHARES
    while True:
        port = _random.choice(PORTS[share::SHARES])
        if port in _given:
            continue
        _given.add(port)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def missing(what: str, remedy: str) -> NoReturn:
    """Skip the test because `what` is not on this machine; in CI fail it, so that nothing is skipped unseen."""
    reason = f"{what} is missing: {remedy}"
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def wait_until(
    check: Callable[[], object],
    what: str,
    *,
    timeout: float = 90.0,
    every: float = 0.05,
    explain: Callable[[], str] = str,
) -> None:
    """Wait until `check()` is true; after `timeout` seconds AssertionError with `what` and what `explain()` adds."""
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {timeout:g} s\n{explain()}")
        time.sleep(every)
