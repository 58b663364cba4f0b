"""The providers that Umbel knows by name: where they are, what to ask them for, who is let in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final
from urllib.parse import urlsplit

from umbel.errors import SettingsError
from umbel.settings import Settings


class Speech(Enum):
    """How a provider is spoken to."""

    OPENID = auto()
    #: OpenID Connect, and its API for what no claim tells.
    GITLAB = auto()
    #: OAuth2 and its API; it does not speak OpenID Connect for people.
    GITHUB = auto()


@dataclass(frozen=True, slots=True)
class Known:
    """A provider."""

    title: str
    #: "" where --oidc-issuer must say.
    issuer: str = ""
    scopes: str = "openid email profile"
    speech: Speech = Speech.OPENID


PROVIDERS: Final = {
    "google": Known("Google", "https://accounts.google.com"),
    "github": Known("GitHub", "https://github.com", "read:user user:email read:org", Speech.GITHUB),
    "gitlab": Known("GitLab", "https://gitlab.com", speech=Speech.GITLAB),
    "okta": Known("Okta", scopes="openid email profile groups"),
    "entra": Known("Microsoft"),
    "keycloak": Known("Keycloak"),
    "oidc": Known("your account"),
}
#: Flower's classes.
FLOWER: Final = {
    "flower.views.auth.GoogleAuth2LoginHandler": "google",
    "flower.views.auth.GithubLoginHandler": "github",
    "flower.views.auth.GitLabLoginHandler": "gitlab",
    "flower.views.auth.OktaLoginHandler": "okta",
}
#: What one part of --auth may be: a whole address, or one with a single .* before the @.
_ADDRESS: Final = re.compile(r"[^@|*\s]*(\.\*)?[^@|*\s]*@[^@|*\s]+")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that is known of the provider to use."""

    known: Known
    client_id: str
    client_secret: str
    user_claim: str
    groups_claim: str
    role_claim: str
    allowed_groups: frozenset[str]
    admitted: Sequence[re.Pattern[str]]
    #: Of GitLab's groups those count in which a user has this level at least; 0: all of them.
    least_level: int = 0

    def admits(self, name: str, groups: Sequence[str]) -> bool:
        """Whether the settings let somebody in: the whole name must match, and a group be among those allowed."""
        if self.admitted and not any(pattern.fullmatch(name) for pattern in self.admitted):
            return False
        return not self.allowed_groups or not self.allowed_groups.isdisjoint(groups)


def configured(settings: Settings) -> Config | None:
    """The provider of the settings, None where there is none; raises `SettingsError` for what is missing."""
    if not settings.auth_provider:
        if settings.auth:
            raise SettingsError("--auth says who may sign in, but not where: give --auth-provider as well")
        return None
    name = FLOWER.get(settings.auth_provider, settings.auth_provider.lower())
    known = PROVIDERS.get(name)
    if known is None:
        raise SettingsError(
            f"--auth-provider: {settings.auth_provider!r} is not known; give one of {', '.join(PROVIDERS)}"
        )
    if not settings.oauth2_key:
        raise SettingsError("--auth-provider needs --oauth2-key, the id that the provider has given to Umbel")
    if not (settings.auth or settings.roles or settings.allowed_groups):
        raise SettingsError(
            f"everybody with an account at {known.title} could sign in: say who may, with --auth, --allowed-groups "
            "or --roles"
        )
    if settings.gitlab_min_access_level and known.speech is not Speech.GITLAB:
        raise SettingsError("--gitlab-min-access-level needs --auth-provider gitlab: no other provider tells levels")
    known = replace(known, issuer=_issuer(settings, known), scopes=settings.oidc_scopes or _scopes(settings, known))
    return Config(
        known,
        settings.oauth2_key,
        settings.oauth2_secret,
        settings.user_claim,
        settings.groups_claim,
        settings.role_claim,
        frozenset(settings.allowed_groups),
        _admitted(settings.auth),
        settings.gitlab_min_access_level,
    )


def _scopes(settings: Settings, known: Known) -> str:
    # Levels stand in the API alone, which no narrower scope opens.
    return f"{known.scopes} read_api" if settings.gitlab_min_access_level else known.scopes


def _issuer(settings: Settings, known: Known) -> str:
    issuer = (settings.oidc_issuer or known.issuer).rstrip("/")
    if not issuer:
        raise SettingsError(f"--auth-provider {settings.auth_provider} needs --oidc-issuer, its address")
    parts = urlsplit(issuer)
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise SettingsError(f"--oidc-issuer {issuer} must be an https:// address: who reads along could sign in")
    if issuer == "https://login.microsoftonline.com/common/v2.0":
        raise SettingsError("--oidc-issuer: name your tenant in place of common, or anybody's tenant could sign in")
    return issuer


def _admitted(auth: str) -> list[re.Pattern[str]]:
    """Patterns for a full match: Flower once matched beginnings, and let in example.com.evil.example."""
    found = []
    for part in (one.strip() for one in auth.split("|")):
        if not part and not auth:
            continue
        # Flower's users wrote the dots as a regular expression has them.
        plain = part.replace("\\.", ".").removeprefix("^").removesuffix("$")
        if not _ADDRESS.fullmatch(plain):
            raise SettingsError(
                f"--auth: {part!r} cannot be used; whole addresses joined by '|' are expected, each with at most one "
                ".* before the @, such as .*@example.com"
            )
        found.append(re.compile(re.escape(plain).replace(r"\.\*", r"[^@\s]*"), re.IGNORECASE))
    return found
