"""GitHub's sign-in at a local server that speaks as GitHub documents it: what lets somebody in, and what does not."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.signin.served import Answer, serving
from umbel.access.base import Departure, SignInError
from umbel.clock import SystemClock
from umbel.settings import Settings
from umbel.signin.openid import GitHubProvider, provider_of
from umbel.signin.providers import configured

BACK = "https://umbel.example/login"


@dataclass
class GitHub:
    """A GitHub Enterprise server with one user, who has agreed to everything."""

    #: Whether the token comes as a form, as GitHub answers unless it is asked for JSON, or as JSON.
    form: bool = False
    emails: Any = field(
        default_factory=lambda: [
            {"email": "other@example.com", "primary": False, "verified": True},
            {"email": "ann@example.com", "primary": True, "verified": True},
        ]
    )
    orgs: Any = field(default_factory=lambda: [{"login": "acme"}, {"login": "ops"}])
    teams: Any = field(
        default_factory=lambda: [
            {"name": "On call", "slug": "on-call", "organization": {"login": "acme"}},
        ]
    )
    #: Whether the scopes let it tell organisations and teams.
    tells: bool = True
    user: Any = field(default_factory=lambda: {"login": "ann", "id": 7})
    #: Instead of a token.
    error: dict[str, str] | None = None
    #: Status of the API's answers.
    status: int = 200
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    challenge: str = ""
    url: str = ""

    def post(self, path: str, sent: dict[str, str]) -> Answer:
        self.asked.append((path, sent))
        told = self.token(sent)
        return Answer(form=told) if self.form else Answer(told)

    def get(self, path: str, query: dict[str, str], authorization: str) -> Answer:
        self.asked.append((path, {}))
        status, told = self.api(path.removeprefix("/api/v3"), authorization, int(query.get("page", "1")))
        return Answer(told, status)

    def token(self, sent: dict[str, str]) -> dict[str, str]:
        """As `POST /login/oauth/access_token`: errors come with the status 200."""
        digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != self.challenge or sent.get("code") != "good":
            return {"error": "bad_verification_code", "error_description": "The code passed is incorrect or expired."}
        if (sent.get("client_id"), sent.get("client_secret")) != ("umbel", "hush"):
            return {"error": "incorrect_client_credentials"}
        return self.error or {"access_token": "gho_16C7", "scope": "read:org,user:email", "token_type": "bearer"}

    def api(self, path: str, authorization: str, page: int = 1) -> tuple[int, Any]:
        if authorization != "Bearer gho_16C7":
            return 401, {"message": "Bad credentials"}
        if not self.tells and path in ("/user/orgs", "/user/teams"):
            return 403, {"message": "You need at least read:org scope to list your teams."}
        lists = {"/user/emails": self.emails, "/user/orgs": self.orgs, "/user/teams": self.teams}
        found = {"/user": self.user, **lists}.get(path, {})
        return self.status, found[100 * (page - 1) : 100 * page] if isinstance(found, list) else found


@pytest.fixture
def hub() -> Iterator[GitHub]:
    made = GitHub()
    with serving(made) as made.url:
        yield made


def provider(hub: GitHub, **more: Any) -> GitHubProvider:
    given: dict[str, Any] = {"auth": ".*@example.com", "oauth2_key": "umbel", "oauth2_secret": "hush", **more}
    config = configured(Settings(auth_provider="github", oidc_issuer=hub.url, **given))
    assert config is not None
    made = provider_of(config, SystemClock())
    assert isinstance(made, GitHubProvider)
    return made


def departed(hub: GitHub, one: GitHubProvider) -> Departure:
    departure = one.depart(BACK)
    query = parse_qs(urlsplit(departure.url).query)
    hub.challenge = query["code_challenge"][0]
    return departure


def arrived(hub: GitHub, one: GitHubProvider, **changed: str) -> tuple[str, tuple[str, ...]]:
    departure = departed(hub, one)
    claims = one.arrive(BACK, {"code": "good", "state": departure.state, **changed}, departure)
    return claims.name, tuple(claims.groups)


def test_the_browser_is_sent_with_what_github_expects(hub: GitHub) -> None:
    departure = departed(hub, provider(hub))
    place = urlsplit(departure.url)
    query = {name: values[0] for name, values in parse_qs(place.query).items()}
    assert f"{place.scheme}://{place.netloc}{place.path}" == f"{hub.url}/login/oauth/authorize"
    assert (query["client_id"], query["redirect_uri"], query["response_type"]) == ("umbel", BACK, "code")
    assert (query["code_challenge_method"], query["state"]) == ("S256", departure.state)
    assert "read:org" in query["scope"].split()
    assert "hush" not in departure.url


@pytest.mark.parametrize("form", [False, True], ids=["token as JSON", "token as a form"])
def test_the_verified_primary_address_and_the_organisations_say_who_it_is(hub: GitHub, form: bool) -> None:
    hub.form = form
    assert arrived(hub, provider(hub)) == ("ann@example.com", ("acme", "ops", "acme/on-call"))
    read = ["/api/v3/user/emails", "/api/v3/user/orgs", "/api/v3/user/teams"]
    assert [path for path, _ in hub.asked] == ["/login/oauth/access_token", *read]


def test_users_may_be_known_by_their_login(hub: GitHub) -> None:
    one = provider(hub, auth="", allowed_groups=("ops",), user_claim="login")
    assert arrived(hub, one) == ("ann", ("acme", "ops", "acme/on-call"))


def test_groups_decide_who_may_sign_in(hub: GitHub) -> None:
    with pytest.raises(SignInError, match="may not sign in"):
        arrived(hub, provider(hub, allowed_groups=("board",)))


def test_teams_decide_too_and_many_of_them_are_read_to_the_end(hub: GitHub) -> None:
    hub.teams = [{"slug": f"t{number}", "organization": {"login": "acme"}} for number in range(230)]
    name, groups = arrived(hub, provider(hub, allowed_groups=("acme/t229",)))
    assert (name, len(groups)) == ("ann@example.com", 232)


def test_where_the_scopes_tell_no_groups_an_address_still_lets_in(hub: GitHub) -> None:
    hub.tells = False
    assert arrived(hub, provider(hub)) == ("ann@example.com", ())
    with pytest.raises(SignInError, match="may not sign in"):
        arrived(hub, provider(hub, allowed_groups=("acme",)))


@pytest.mark.parametrize("form", [False, True])
@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"emails": [{"email": "ann@example.com", "primary": True, "verified": False}]}, "no verified address"),
        ({"emails": [{"email": "ann@example.com", "primary": False, "verified": True}]}, "no verified address"),
        ({"emails": []}, "no verified address"),
        ({"emails": [{"email": "ann@evil.example", "primary": True, "verified": True}]}, "may not sign in"),
        ({"emails": {"message": "Not Found"}}, "could not be asked"),
        ({"emails": "ann@example.com"}, "could not be asked"),
        ({"emails": [None]}, "could not be asked"),
        ({"orgs": [{"id": 1}]}, "could not be asked"),
        ({"status": 403}, "could not be asked"),
        ({"error": {"error": "access_denied"}}, "could not be asked"),
        ({"error": {"token_type": "bearer"}}, "could not be asked"),
    ],
)
def test_whatever_else_it_answers_nobody_is_let_in(hub: GitHub, changed: dict[str, Any], says: str, form: bool) -> None:
    hub.form = form
    for name, value in changed.items():
        setattr(hub, name, value)
    with pytest.raises(SignInError, match=says) as raised:
        arrived(hub, provider(hub))
    assert "gho_16C7" not in str(raised.value)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"code": "stolen"}, "could not be asked"),
        ({"state": "another"}, "not begun by this browser"),
        ({"code": "", "error": "access_denied", "error_description": "The user has denied"}, "did not sign you in"),
    ],
)
def test_an_arrival_that_is_not_ours_lets_nobody_in(hub: GitHub, parameters: dict[str, str], says: str) -> None:
    with pytest.raises(SignInError, match=says):
        arrived(hub, provider(hub), **parameters)


def test_a_wrong_secret_of_ours_lets_nobody_in_and_is_not_told(hub: GitHub) -> None:
    with pytest.raises(SignInError, match="could not be asked"):
        arrived(hub, provider(hub, oauth2_secret="wrong"))


def test_a_server_that_is_away_is_said(hub: GitHub) -> None:
    one = provider(hub)
    departure = departed(hub, one)
    hub.url = ""
    one._config = provider(GitHub(url="http://127.0.0.1:9"))._config
    with pytest.raises(SignInError, match="could not be asked"):
        one.arrive(BACK, {"code": "good", "state": departure.state}, departure)
