"""What the modules about one engine share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conformance.store_rigs import StoreRig
from tests.strategies import START
from umbel.clock import ManualClock


@pytest.fixture
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreRig]:
    """A store of the engine that the module's `RIG` names."""
    kind: type[StoreRig] = request.module.RIG
    kind.use(*(request.getfixturevalue(service) for service in kind.services))
    with closing(kind(tmp_path, ManualClock(START))) as rig:
        yield rig
