"""Sign-in at a provider of identity: OpenID Connect, and GitHub's OAuth2; with PKCE, state and nonce, by Authlib."""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import OAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from umbel.access.base import Departure, SignInError
from umbel.access.identity import Claims, Role, Via, role_of
from umbel.clock import Clock
from umbel.signin.providers import Config, Speech

log = logging.getLogger(__name__)

#: Seconds that the provider has for each answer, and for how long what it says of itself is kept.
PATIENCE: Final = 10.0
FRESH: Final = 3_600.0
#: Seconds that its clock and ours may differ.
LEEWAY: Final = 60
#: No symmetric algorithm, and not `none`: what signs must be the provider's alone.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
#: Bytes of an answer.
ANSWER: Final = 1 << 20
#: Groups, organisations or teams that are told at once, and how often a provider is asked for more of them.
PAGE: Final = 100
PAGES: Final = 5
_FAILURES: Final = (httpx2.HTTPError, AuthlibBaseError, JoseError, ValueError, KeyError, TypeError)


class OAuthProvider:
    """`umbel.access.base.Provider`; what differs between OpenID Connect and GitHub is in its two heirs."""

    def __init__(self, config: Config, clock: Clock, trust: Any = True) -> None:
        self._config = config
        self._clock = clock
        self._trust = trust
        self.title = config.known.title

    def admits(self, name: str, groups: Sequence[str]) -> bool:
        return self._config.admits(name, groups)

    def depart(self, redirect_uri: str) -> Departure:
        memory = {"nonce": secrets.token_urlsafe(32), "verifier": secrets.token_urlsafe(48)}
        state = secrets.token_urlsafe(32)
        try:
            with self._client(redirect_uri) as client:
                url, _ = client.create_authorization_url(
                    self._place("authorization_endpoint"),
                    state=state,
                    code_verifier=memory["verifier"],
                    **self._extra(memory),
                )
        except _FAILURES as error:
            raise self._failed(error) from error
        return Departure(url, state, memory)

    def arrive(self, redirect_uri: str, parameters: Mapping[str, str], departure: Departure) -> Claims:
        if not hmac.compare_digest(parameters.get("state", "").encode(), departure.state.encode()):
            raise SignInError("This sign-in was not begun by this browser. Begin again.")
        self._check_issuer(parameters)
        if parameters.get("error") or not parameters.get("code"):
            said = parameters.get("error_description") or parameters.get("error") or "no code"
            raise SignInError(f"{self.title} did not sign you in: {said[:200]}.")
        try:
            with self._client(redirect_uri) as client:
                token = client.fetch_token(
                    self._place("token_endpoint"),
                    code=parameters["code"],
                    grant_type="authorization_code",
                    code_verifier=departure.memory["verifier"],
                )
                claims = self._claims(client, token, departure.memory)
        except _FAILURES as error:
            raise self._failed(error) from error
        if not self.admits(claims.name, claims.groups):
            raise SignInError(f"{claims.name[:200]} may not sign in here. Whoever runs this Umbel can let you in.")
        return claims

    def _client(self, redirect_uri: str) -> OAuth2Client:
        return OAuth2Client(
            self._config.client_id,
            self._config.client_secret or None,
            scope=self._config.known.scopes,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            token_endpoint_auth_method=self._method(),
            timeout=PATIENCE,
            verify=self._trust,
            follow_redirects=False,
        )

    def _failed(self, error: Exception) -> SignInError:
        # The error may quote what the provider was sent or has answered: it goes to the log, cut, and not to the page.
        log.warning("a sign-in at %s failed: %s: %s", self._config.known.issuer, type(error).__name__, str(error)[:300])
        return SignInError(f"{self.title} could not be asked, or has answered something else. The log says more.")

    def _method(self) -> str:
        raise NotImplementedError

    def _place(self, endpoint: str) -> str:
        raise NotImplementedError

    def _extra(self, memory: Mapping[str, str]) -> dict[str, str]:
        raise NotImplementedError

    def _check_issuer(self, parameters: Mapping[str, str]) -> None:
        raise NotImplementedError

    def _claims(self, client: OAuth2Client, token: Mapping[str, Any], memory: Mapping[str, Any]) -> Claims:
        raise NotImplementedError


def _answer(response: httpx2.Response) -> Any:
    response.raise_for_status()
    if len(response.content) > ANSWER:
        raise ValueError("the answer is too long")
    return response.json()


def _listed(response: httpx2.Response) -> list[dict[str, Any]]:
    """The objects of an answer that is a list; raises `ValueError` for anything else."""
    found = _answer(response)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError("the answer is no list of objects")
    return found


def _pages(client: OAuth2Client, url: str, query: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """A list that comes page by page, `PAGES` of them at most; raises `HTTPStatusError` and `ValueError`."""
    found: list[dict[str, Any]] = []
    for page in range(1, PAGES + 1):
        asked = {**(query or {}), "per_page": PAGE, "page": page}
        found += (items := _listed(client.get(f"{url}?{urlencode(asked)}")))
        if len(items) < PAGE:
            break
    return found


class OpenIDProvider(OAuthProvider):
    """Any issuer of OpenID Connect, found by its discovery document."""

    def __init__(self, config: Config, clock: Clock, trust: Any = True) -> None:
        super().__init__(config, clock, trust)
        self._lock = Lock()
        self._metadata: Mapping[str, Any] = {}
        self._keys = KeySet([])
        self._until = 0.0

    def _described(self) -> Mapping[str, Any]:
        """The provider's own description, at most an hour old."""
        with self._lock:
            if self._clock.now() < self._until:
                return self._metadata
        issuer = self._config.known.issuer
        found: Mapping[str, Any] = self._get(f"{issuer}/.well-known/openid-configuration")
        if found["issuer"].rstrip("/") != issuer:
            raise ValueError(f"it calls itself {found['issuer'][:200]!r}, not {issuer!r}")
        keys = KeySet.import_key_set(self._get(found["jwks_uri"]))
        with self._lock:
            self._metadata, self._keys, self._until = found, keys, self._clock.now() + FRESH
        return found

    def _get(self, url: str) -> Any:
        with httpx2.Client(timeout=PATIENCE, verify=self._trust) as client:
            return _answer(client.get(url))

    def _method(self) -> str:
        if not self._config.client_secret:
            return "none"
        known = self._described().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return "client_secret_basic" if "client_secret_basic" in known else "client_secret_post"

    def _place(self, endpoint: str) -> str:
        return str(self._described()[endpoint])

    def _extra(self, memory: Mapping[str, str]) -> dict[str, str]:
        return {"nonce": memory["nonce"]}

    def _check_issuer(self, parameters: Mapping[str, str]) -> None:
        # Another provider's answer, mixed in (RFC 9207).
        if "iss" in parameters and parameters["iss"].rstrip("/") != self._config.known.issuer:
            raise SignInError("The answer comes from another provider. Begin again.")

    def _claims(self, client: OAuth2Client, token: Mapping[str, Any], memory: Mapping[str, Any]) -> Claims:
        claims = self._verified(str(token["id_token"]), str(memory["nonce"]))
        place = self._described().get("userinfo_endpoint")
        if place:
            more = _answer(client.get(place))
            if more["sub"] != claims["sub"]:
                raise ValueError("it answers about another user")
            claims = {**more, **claims}
        return self._named({**claims, **self._further(client)})

    def _further(self, client: OAuth2Client) -> Mapping[str, Any]:
        """Claims that the provider tells in its own way, and that count before its others."""
        del client
        return {}

    def _verified(self, id_token: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token, once signature, issuer, audience, times and nonce are right."""
        try:
            decoded = self._decoded(id_token)
        except (JoseError, ValueError):
            # It may have taken new keys since.
            self._until = 0.0
            decoded = self._decoded(id_token)
        issuer = str(self._described()["issuer"])
        expected = jwt.JWTClaimsRegistry(
            now=lambda: int(self._clock.now()),
            leeway=LEEWAY,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": self._config.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        expected.validate(decoded.claims)
        claims: dict[str, Any] = decoded.claims
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != self._config.client_id:
            raise ValueError("the ID token is for another client")
        return claims

    def _decoded(self, id_token: str) -> jwt.Token:
        self._described()
        return jwt.decode(id_token, self._keys, algorithms=list(ALGORITHMS))

    def _named(self, claims: Mapping[str, Any]) -> Claims:
        config = self._config
        name = claims.get(config.user_claim)
        if not isinstance(name, str) or not name:
            raise SignInError(f"{self.title} does not tell {config.user_claim!r}, by which this Umbel knows its users.")
        # An address that nobody has verified may be anybody's.
        if config.user_claim == "email" and claims.get("email_verified") not in (True, "true"):
            raise SignInError(f"{self.title} has not verified the address {name[:200]}.")
        return Claims(name, Via.OPENID, _groups(claims.get(config.groups_claim)), self._role(claims))

    def _role(self, claims: Mapping[str, Any]) -> Role | None:
        said = claims.get(self._config.role_claim) if self._config.role_claim else None
        words = said if isinstance(said, list) else [said]
        return max((role for word in words if isinstance(word, str) and (role := role_of(word))), default=None)


def _groups(value: Any) -> tuple[str, ...]:
    given = value if isinstance(value, list) else [value]
    return tuple(str(one) for one in given[:1_000] if isinstance(one, str) and one)


class GitLabProvider(OpenIDProvider):
    """GitLab, or a GitLab of one's own: groups by their path (`acme/ops`).

    Where a least level is set, groups are those in which the user has it, by GitLab's API: no claim tells levels.
    """

    def _further(self, client: OAuth2Client) -> Mapping[str, Any]:
        least = self._config.least_level
        if not least:
            return {}
        place = f"{self._config.known.issuer}/api/v4/groups"
        found = _pages(client, place, {"min_access_level": least})
        return {self._config.groups_claim: [str(one["full_path"]) for one in found]}


class GitHubProvider(OAuthProvider):
    """GitHub, or a GitHub Enterprise server: users by their verified primary address.

    Groups are organisations (`acme`) and teams (`acme/ops`).
    """

    def _client(self, redirect_uri: str) -> OAuth2Client:
        client = super()._client(redirect_uri)
        client.register_compliance_hook("access_token_response", _as_json)
        return client

    def _method(self) -> str:
        return "client_secret_post"

    def _place(self, endpoint: str) -> str:
        word = {"authorization_endpoint": "authorize", "token_endpoint": "access_token"}[endpoint]
        return f"{self._config.known.issuer}/login/oauth/{word}"

    @property
    def _api(self) -> str:
        issuer = self._config.known.issuer
        return "https://api.github.com" if issuer == "https://github.com" else f"{issuer}/api/v3"

    def _extra(self, memory: Mapping[str, str]) -> dict[str, str]:
        del memory
        return {}

    def _check_issuer(self, parameters: Mapping[str, str]) -> None:
        """It names no issuer."""

    def _claims(self, client: OAuth2Client, token: Mapping[str, Any], memory: Mapping[str, Any]) -> Claims:
        del memory
        client.token = dict(token)
        addresses = _listed(client.get(f"{self._api}/user/emails"))
        name = next((one["email"] for one in addresses if one.get("primary") and one.get("verified")), None)
        if name is None:
            raise SignInError("GitHub knows no verified address of yours.")
        if self._config.user_claim != "email":
            name = str(_answer(client.get(f"{self._api}/user"))[self._config.user_claim])
        groups = [str(one["login"]) for one in self._told(client, "user/orgs")]
        teams = self._told(client, "user/teams")
        groups += [f"{one['organization']['login']}/{one['slug']}" for one in teams]
        return Claims(str(name), Via.OPENID, tuple(groups))

    def _told(self, client: OAuth2Client, path: str) -> list[dict[str, Any]]:
        """A list of the API; empty where the scopes do not let us read it."""
        try:
            return _pages(client, f"{self._api}/{path}")
        except httpx2.HTTPStatusError as error:
            if error.response.status_code not in (403, 404):
                raise
            log.info("GitHub does not tell %s: is read:org among --oidc-scopes?", path)
            return []


def _as_json(response: httpx2.Response) -> httpx2.Response:
    """An answer of GitHub's as JSON: servers and proxies that pass over `Accept` give a form."""
    if not response.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return response
    return httpx2.Response(response.status_code, json=dict(parse_qsl(response.text)), request=response.request)


def provider_of(config: Config, clock: Clock) -> OAuthProvider:
    """The provider that is configured; nothing is asked of it yet."""
    return {Speech.OPENID: OpenIDProvider, Speech.GITLAB: GitLabProvider, Speech.GITHUB: GitHubProvider}[
        config.known.speech
    ](config, clock)
