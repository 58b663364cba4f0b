"""Sign-in at a real OpenID provider: what lets somebody in, and what does not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from tests.support.environment import missing
from tests.support.provider import PACKAGE, OpenIDServer
from tests.web.stage import Stage
from umbel.access.base import Departure, SignInError
from umbel.clock import ManualClock, SystemClock
from umbel.settings import Settings
from umbel.signin.openid import OpenIDProvider
from umbel.signin.providers import configured

BASE = "http://127.0.0.1:5555"
BACK = f"{BASE}/login"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIDServer]:
    if shutil.which("node") is None or not PACKAGE.is_dir():
        missing("the OpenID provider", "make assets brings it; it needs Node.js (Debian: apt-get install nodejs npm)")
    with OpenIDServer(tmp_path_factory.mktemp("provider"), BACK) as server:
        yield server


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    # The provider's tokens tell the time of this machine.
    made = Stage(tmp_path, clock=ManualClock(SystemClock().now()))
    made.well()
    made.commit()
    yield made
    made.close()


def given(server: OpenIDServer, **more: Any) -> dict[str, Any]:
    secret = {"oauth2_key": "umbel", "oauth2_secret": "secret-of-the-test"}
    return {"auth_provider": "oidc", "oidc_issuer": server.issuer, "auth": ".*@example.com", **secret, **more}


def provider(server: OpenIDServer, **more: Any) -> OpenIDProvider:
    config = configured(Settings(**given(server, **more)))
    assert config is not None
    return OpenIDProvider(config, SystemClock())


def arrival(server: OpenIDServer, departure: Departure, user: str = "ann@example.com") -> dict[str, str]:
    query = urlsplit(server.sign_in(departure.url, user, BACK)).query
    return {name: values[0] for name, values in parse_qs(query).items()}


def begin(client: TestClient, then: str = "/tasks") -> str:
    asked = client.get(f"/login?begin=1&next={then}", follow_redirects=False)
    assert asked.status_code == 303, asked.text
    return asked.headers["location"]


def test_the_whole_round_lets_somebody_in_and_back_to_where_they_wanted(server: OpenIDServer, stage: Stage) -> None:
    stage.sign_in_by(**given(server, roles=("group:ops=admin", "*=viewer")))
    with stage.client() as client:
        place = begin(client)
        query = parse_qs(urlsplit(place).query)
        assert query["code_challenge_method"] == ["S256"]
        assert query["state"] != query["nonce"]
        back = server.sign_in(place, "ops-ann@example.com", BACK)
        entered = client.get(back, follow_redirects=False)
        assert (entered.status_code, entered.headers["location"]) == (303, "/tasks")
        page = client.get("/access").text
        assert "ops-ann@example.com" in page
        assert "admin" in page
        again = client.get(back, follow_redirects=False)
        assert again.status_code == 403, "an arrival is good once"
    with stage.client() as other:
        place = begin(other)
        back = server.sign_in(place, "carl@example.com", BACK)
        other.get(back, follow_redirects=False)
        assert other.get("/api/v1/tasks").status_code == 200
        assert other.get("/audit").status_code == 403


def test_another_browser_cannot_finish_a_sign_in(server: OpenIDServer, stage: Stage) -> None:
    """Whoever is lured to an attacker's arrival is not signed in as the attacker."""
    stage.sign_in_by(**given(server))
    with stage.client() as attacker, stage.client() as victim:
        back = server.sign_in(begin(attacker), "ann@example.com", BACK)
        assert victim.get(back, follow_redirects=False).status_code == 403
        begin(victim)
        answer = victim.get(back, follow_redirects=False)
        assert answer.status_code == 403
        assert "not begun by this browser" in answer.text
        assert victim.get("/api/v1/tasks").status_code == 401


def test_a_sign_in_that_took_too_long_is_void(server: OpenIDServer, stage: Stage) -> None:
    stage.sign_in_by(**given(server))
    with stage.client() as client:
        back = server.sign_in(begin(client), "ann@example.com", BACK)
        stage.clock.advance(601)
        assert client.get(back, follow_redirects=False).status_code == 403


@pytest.mark.parametrize("user", ["ann@example.com.evil.com", "ann@example.org", "unverified@example.com"])
def test_who_is_not_admitted_or_not_verified_is_not_let_in(server: OpenIDServer, user: str) -> None:
    one = provider(server)
    departure = one.depart(BACK)
    with pytest.raises(SignInError, match=r"may not sign in|has not verified"):
        one.arrive(BACK, arrival(server, departure, user), departure)


def test_groups_decide_who_may_sign_in(server: OpenIDServer) -> None:
    one = provider(server, auth="", allowed_groups=("ops",))
    departure = one.depart(BACK)
    with pytest.raises(SignInError, match="may not sign in"):
        one.arrive(BACK, arrival(server, departure, "ann@example.com"), departure)
    departure = one.depart(BACK)
    assert one.arrive(BACK, arrival(server, departure, "ops@example.com"), departure).groups == ("staff", "ops")


def test_a_client_without_a_secret_signs_in_by_pkce_alone(server: OpenIDServer) -> None:
    one = provider(server, oauth2_key="public", oauth2_secret="")
    departure = one.depart(BACK)
    assert one.arrive(BACK, arrival(server, departure), departure).name == "ann@example.com"


@pytest.mark.parametrize("what", ["nonce", "verifier", "state", "code", "iss", "secret"])
def test_each_safeguard_alone_stops_a_forged_arrival(server: OpenIDServer, what: str) -> None:
    one = provider(server)
    departure = one.depart(BACK)
    parameters = arrival(server, departure)
    if what in ("nonce", "verifier"):
        departure = Departure(departure.url, departure.state, {**departure.memory, what: "x" * 50})
    elif what == "secret":
        one = provider(server, oauth2_secret="wrong")
    else:
        parameters[what] = "https://evil.example"
    with pytest.raises(SignInError) as caught:
        one.arrive(BACK, parameters, departure)
    for secret in ("secret-of-the-test", parameters["code"], departure.memory["verifier"]):
        assert secret not in str(caught.value)


def test_a_provider_that_refuses_or_is_away_is_told_in_plain_words(server: OpenIDServer, stage: Stage) -> None:
    one = provider(server)
    departure = one.depart(BACK)
    denied = {"state": departure.state, "error": "access_denied", "error_description": "<b>no</b>"}
    with pytest.raises(SignInError, match="did not sign you in"):
        one.arrive(BACK, denied, departure)
    stage.sign_in_by(**given(server, oidc_issuer="http://127.0.0.1:9"))
    with stage.client() as client:
        answer = client.get("/login?begin=1")
    assert answer.status_code == 503
    assert "could not be asked" in answer.text
