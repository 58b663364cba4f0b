"""The rig, once for all checks, and the service that a check asks: Umbel, then Flower."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flower.rig import BACKEND, BROKER, Rig, Service, on_redis, running
from tests.support.redis import RedisServer


@pytest.fixture(scope="session")
def rig(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    broker, backend = on_redis(redis_server, BROKER), on_redis(redis_server, BACKEND)
    with running(Rig(broker, backend, tmp_path_factory.mktemp("flower"))) as made:
        yield made


@pytest.fixture(params=["umbel", "flower"])
def service(request: pytest.FixtureRequest, rig: Rig) -> Service:
    return rig.service(request.param)


@pytest.fixture(autouse=True)
def _ran(request: pytest.FixtureRequest) -> Iterator[None]:
    """Note that a test has run on its rig."""
    yield
    if "rig" in request.fixturenames:
        request.getfixturevalue("rig").ran.add(request.node.originalname)


@pytest.fixture
def umbel(rig: Rig) -> Service:
    return rig.services["umbel"]
