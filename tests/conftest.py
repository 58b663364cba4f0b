"""Makes the fixtures of services.py known to every test, sets Hypothesis up, and leaves the long drills out."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.services"]

# A busy machine is no failure: no deadlines. CI repeats the same examples, so that a red run can be repeated.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "default")


#: Folders of tests that start no process: what fails there is a fault.
LOGIC = {"unit", "properties"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long drills run only where `-m` names them (`make drill`); in CI a test with real servers gets a second go."""
    if os.environ.get("CI"):
        for item in items:
            if LOGIC.isdisjoint(item.path.relative_to(config.rootpath).parts):
                item.add_marker(pytest.mark.flaky(reruns=1))
    if "drill" in str(config.option.markexpr):
        return
    long = [item for item in items if item.get_closest_marker("drill")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]
