"""Each engine of a store in turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conformance.store_rigs import RIGS, StoreRig


@pytest.fixture(params=sorted(RIGS), scope="session")
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    RIGS[name].use(*map(request.getfixturevalue, RIGS[name].services))
    return name


@pytest.fixture
def rig(engine: str, tmp_path: Path) -> Iterator[StoreRig]:
    with closing(RIGS[engine](tmp_path)) as rig:
        yield rig
