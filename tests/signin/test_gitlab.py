"""GitLab's sign-in at a local server that speaks as GitLab documents it: whose groups count, by the level in them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.signin.served import Answer, serving
from umbel.access.base import SignInError
from umbel.clock import SystemClock
from umbel.errors import SettingsError
from umbel.settings import Settings
from umbel.signin.openid import GitLabProvider, OpenIDProvider, provider_of
from umbel.signin.providers import configured

BACK = "https://umbel.example/login"
KEY = RSAKey.generate_key(2048, parameters={"kid": "one"})


@dataclass
class GitLab:
    """A GitLab with one user, who is in groups at levels."""

    levels: dict[str, int] = field(default_factory=lambda: {"acme": 10, "acme/ops": 30, "tools": 50})
    #: Status of the API's answers, and what it answers in place of groups.
    status: int = 200
    instead: Any = None
    url: str = ""
    nonce: str = ""
    scopes: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def post(self, path: str, sent: dict[str, str]) -> Answer:
        assert path == "/oauth/token"
        assert (sent["code"], bool(sent["code_verifier"])) == ("good", True)
        now = int(time.time())
        claims = {"iss": self.url, "aud": "umbel", "sub": "7", "iat": now, "exp": now + 120, "nonce": self.nonce}
        token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, KEY)
        return Answer({"access_token": "glpat", "token_type": "Bearer", "expires_in": 7200, "id_token": token})

    def get(self, path: str, query: dict[str, str], authorization: str) -> Answer:
        if path == "/.well-known/openid-configuration":
            places = {name: f"{self.url}/oauth/{name}" for name in ("authorize", "token", "userinfo")}
            return Answer(
                {
                    "issuer": self.url,
                    "authorization_endpoint": places["authorize"],
                    "token_endpoint": places["token"],
                    "userinfo_endpoint": places["userinfo"],
                    "jwks_uri": f"{self.url}/oauth/discovery/keys",
                    "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                }
            )
        if path == "/oauth/discovery/keys":
            return Answer({"keys": [KEY.as_dict(private=False)]})
        if authorization != "Bearer glpat":
            return Answer({"error": "invalid_token"}, 401)
        if path == "/oauth/userinfo":
            # Of every group, whatever the level.
            told = {"sub": "7", "email": "ann@example.com", "email_verified": True, "groups": list(self.levels)}
            return Answer(told)
        assert path == "/api/v4/groups"
        self.asked.append((path, query))
        if "read_api" not in self.scopes.split():
            return Answer({"error": "insufficient_scope", "scope": "api read_api"}, 403)
        return Answer(self.groups(query) if self.instead is None else self.instead, self.status)

    def groups(self, query: dict[str, str]) -> list[dict[str, Any]]:
        least, size, page = (int(query[name]) for name in ("min_access_level", "per_page", "page"))
        found = [{"id": n, "full_path": path} for n, (path, level) in enumerate(self.levels.items()) if level >= least]
        return found[size * (page - 1) : size * page]


@pytest.fixture
def lab() -> Iterator[GitLab]:
    made = GitLab()
    with serving(made) as made.url:
        yield made


def provider(lab: GitLab, **more: Any) -> OpenIDProvider:
    given: dict[str, Any] = {"auth": ".*@example.com", "oauth2_key": "umbel", "oauth2_secret": "hush", **more}
    config = configured(Settings(auth_provider="gitlab", oidc_issuer=lab.url, **given))
    assert config is not None
    made = provider_of(config, SystemClock())
    assert isinstance(made, GitLabProvider)
    return made


def arrived(lab: GitLab, one: OpenIDProvider) -> tuple[str, ...]:
    """The groups of whoever signs in."""
    departure = one.depart(BACK)
    query = parse_qs(urlsplit(departure.url).query)
    lab.nonce, lab.scopes = query["nonce"][0], query["scope"][0]
    claims = one.arrive(BACK, {"code": "good", "state": departure.state}, departure)
    assert claims.name == "ann@example.com"
    return tuple(claims.groups)


def test_without_a_level_its_claims_tell_the_groups_and_its_api_is_not_asked(lab: GitLab) -> None:
    assert arrived(lab, provider(lab)) == ("acme", "acme/ops", "tools")
    assert lab.asked == []
    assert "read_api" not in lab.scopes


def test_with_a_level_groups_are_those_in_which_the_user_has_it(lab: GitLab) -> None:
    assert arrived(lab, provider(lab, gitlab_min_access_level=30)) == ("acme/ops", "tools")
    assert lab.asked == [("/api/v4/groups", {"min_access_level": "30", "per_page": "100", "page": "1"})]


def test_a_guest_of_an_allowed_group_is_not_let_in_where_reporters_are_asked_for(lab: GitLab) -> None:
    asked = {"allowed_groups": ("acme",), "gitlab_min_access_level": 20}
    with pytest.raises(SignInError, match="may not sign in"):
        arrived(lab, provider(lab, **asked))
    lab.levels["acme"] = 20
    assert "acme" in arrived(lab, provider(lab, **asked))


def test_many_groups_are_read_to_the_end(lab: GitLab) -> None:
    lab.levels = {f"g{number}": 40 for number in range(230)}
    groups = arrived(lab, provider(lab, allowed_groups=("g229",), gitlab_min_access_level=20))
    assert (len(groups), len(lab.asked)) == (230, 3)


@pytest.mark.parametrize(
    "changed",
    [{"status": 403}, {"status": 500}, {"instead": {"message": "no"}}, {"instead": [{"id": 1}]}, {"instead": "acme"}],
)
def test_whatever_else_its_api_answers_nobody_is_let_in(lab: GitLab, changed: dict[str, Any]) -> None:
    for name, value in changed.items():
        setattr(lab, name, value)
    with pytest.raises(SignInError, match="could not be asked") as raised:
        arrived(lab, provider(lab, gitlab_min_access_level=20))
    assert "glpat" not in str(raised.value)


def test_scopes_of_ones_own_that_do_not_open_the_api_let_nobody_in(lab: GitLab) -> None:
    with pytest.raises(SignInError, match="could not be asked"):
        arrived(lab, provider(lab, gitlab_min_access_level=20, oidc_scopes="openid email profile"))


def test_levels_are_asked_of_gitlab_alone() -> None:
    given: dict[str, Any] = {"auth": ".*@example.com", "oauth2_key": "umbel", "gitlab_min_access_level": 20}
    with pytest.raises(SettingsError, match="--auth-provider gitlab"):
        configured(Settings(auth_provider="google", **given))
