"""The rig, once for all checks, and the service that a check asks: Umbel, then Flower."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flower.rig import Rig, Service
from tests.support.redis import RedisServer


@pytest.fixture(scope="session")
def rig(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    made = Rig(redis_server, tmp_path_factory.mktemp("flower"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(params=["umbel", "flower"])
def service(request: pytest.FixtureRequest, rig: Rig) -> Service:
    if request.param not in rig.services:
        pytest.skip("Flower is not installed: it is in the group bench (uv sync --group bench)")
    return rig.services[request.param]


@pytest.fixture
def umbel(rig: Rig) -> Service:
    return rig.services["umbel"]
