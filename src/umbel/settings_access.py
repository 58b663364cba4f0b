"""The options of who may sign in, and what they may do then."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from umbel.retention import parse_duration
from umbel.settings_option import Option, choice, plain_text, switch

#: A comma begins the next entry only where a name and a colon follow: hashes have commas of their own.
_NEXT_USER: Final = re.compile(r",(?=[^,:]*:)")
ROLES: Final = ("viewer", "operator", "admin")


def users(value: Any) -> tuple[str, ...]:
    """`user:password` entries: a list, a JSON array, or a text with commas between, as Flower takes it."""
    given = _listed(value, _NEXT_USER)
    for number, one in enumerate(given, 1):
        if not re.fullmatch(r"[^:\x00-\x1f]+:.+", one):
            # Not the entry: it may be a password.
            raise ValueError(f"entry {number} is not user:password or user:hash")
    return given


def texts(value: Any) -> tuple[str, ...]:
    """Texts: a list, a JSON array, or one with commas between."""
    return _listed(value, re.compile(","))


def lines(value: Any) -> tuple[str, ...]:
    """Texts that may have commas: a list, a JSON array, or one with ';' or line breaks between."""
    return _listed(value, re.compile(r"[;\n]"))


def level(value: Any) -> int:
    """One of GitLab's levels of access, 0 to 50."""
    number = int(value)
    if not 0 <= number <= 50:
        raise ValueError("0 to 50 are possible")
    return number


def patterns(value: Any) -> tuple[str, ...]:
    """Regular expressions: a list, a JSON array, or a line each; ValueError for one that is none."""
    given = _listed(value, re.compile(r"\n"))
    for one in given:
        try:
            re.compile(one)
        except re.error as error:
            raise ValueError(f"{one!r} is no regular expression: {error}") from error
    return given


def _listed(value: Any, separator: re.Pattern[str]) -> tuple[str, ...]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = json.loads(value)
    if isinstance(value, str):
        value = separator.split(value)
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise TypeError("a list of texts is expected")
    return tuple(one.strip() for one in value if one.strip())


def secret(value: Any) -> str:
    """A text, or `file:PATH`: the first line of that file."""
    text = plain_text(value)
    if not text.startswith("file:"):
        return text
    try:
        return Path(text.removeprefix("file:")).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from error


def _option(name: str, default: Any, parse: Callable[[Any], Any], help_: str, metavar: str) -> Option:
    return Option(name, default, parse, help_, (), metavar, secret=name in ("basic_auth", "oauth2_secret"))


#: Keys that hold secrets in most applications.
REDACTED: Final = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "authorization",
    "credentials",
    "private_key",
)

ACCESS_OPTIONS: Final = (
    _option(
        "basic_auth",
        (),
        users,
        "Who may sign in by password: user:password or user:hash (umbel hash-password), joined by ','.",
        "USERS",
    ),
    _option("password_file", "", plain_text, "The same, one user:hash a line.", "FILE"),
    _option(
        "auth",
        "",
        plain_text,
        "Who may sign in through --auth-provider: addresses joined by '|', each with at most one .* before the @.",
        "PATTERN",
    ),
    _option(
        "auth_provider",
        "",
        plain_text,
        "google, github, gitlab, okta, entra, keycloak or oidc; Flower's class names are taken too.",
        "NAME",
    ),
    _option("oauth2_key", "", secret, "The client's id at the provider, or file:PATH.", "ID"),
    _option("oauth2_secret", "", secret, "The client's secret at the provider, or file:PATH.", "SECRET"),
    _option("oauth2_redirect_uri", "", plain_text, "Umbel's own address as the provider knows it: …/login.", "URL"),
    _option(
        "oidc_issuer",
        "",
        plain_text,
        "The provider's issuer: https://ID.okta.com, https://login.microsoftonline.com/TENANT/v2.0, "
        "https://HOST/realms/REALM; for gitlab and github the address of one's own.",
        "URL",
    ),
    _option("oidc_scopes", "", plain_text, "Scopes to ask for, instead of those that the provider needs.", "SCOPES"),
    _option(
        "user_claim",
        "email",
        plain_text,
        "The claim that names the user. email counts only where the provider says that it has verified it.",
        "NAME",
    ),
    _option("groups_claim", "groups", plain_text, "The claim that lists the user's groups.", "NAME"),
    _option("role_claim", "", plain_text, "A claim that says viewer, operator or admin.", "NAME"),
    _option("allowed_groups", (), texts, "Groups of which a user must be in one, joined by ','.", "NAMES"),
    _option(
        "gitlab_min_access_level",
        0,
        level,
        "Of GitLab's groups only those in which a user has this level at least (20: reporter, 30: developer, 40: "
        "maintainer, 50: owner); it then asks for the scope read_api. 0: every group, guests' as well.",
        "LEVEL",
    ),
    _option(
        "trusted_proxies",
        (),
        texts,
        "Addresses (or networks) of proxies whose --proxy-user-header is believed; unix for a socket file's.",
        "ADDRESSES",
    ),
    _option("proxy_user_header", "", plain_text, "Header in which such a proxy names the user.", "NAME"),
    _option("proxy_groups_header", "", plain_text, "Header with the user's groups, joined by ','.", "NAME"),
    _option(
        "roles",
        (),
        lines,
        "Who has which role, the first that matches: 'ann@example.com=admin; group:ops=operator; *=viewer'. "
        "Who matches none may not sign in. Unless given: everybody who signs in is an admin.",
        "RULES",
    ),
    _option(
        "rules",
        (),
        lines,
        "What a role may change, once it has rules: 'operator may revoke,terminate name:mail.* queue:mail'.",
        "RULES",
    ),
    _option(
        "redact_keys",
        REDACTED,
        texts,
        "Keys in arguments, results and exceptions whose values are hidden before anything is stored: whichever ends "
        "with one of these, joined by ','; '' for none.",
        "KEYS",
    ),
    _option(
        "redact_patterns",
        (),
        patterns,
        "Regular expressions for what else is hidden then, a line each.",
        "PATTERNS",
    ),
    _option(
        "arguments_role",
        "operator",
        choice(*ROLES),
        "The least role that sees arguments and results of tasks.",
        "ROLE",
    ),
    _option("session_lifetime", 12 * 3600.0, parse_duration, "How long a sign-in lasts, such as 12h.", "DURATION"),
    Option("protect_metrics", False, switch, "Ask for a sign-in or a token at /metrics too, where there is a login."),
)


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """What was set of these, parsed."""

    basic_auth: Sequence[str] = ()
    password_file: str = ""
    auth: str = ""
    auth_provider: str = ""
    oauth2_key: str = ""
    oauth2_secret: str = ""
    oauth2_redirect_uri: str = ""
    oidc_issuer: str = ""
    oidc_scopes: str = ""
    user_claim: str = "email"
    groups_claim: str = "groups"
    role_claim: str = ""
    allowed_groups: Sequence[str] = ()
    gitlab_min_access_level: int = 0
    trusted_proxies: Sequence[str] = ()
    proxy_user_header: str = ""
    proxy_groups_header: str = ""
    roles: Sequence[str] = ()
    rules: Sequence[str] = ()
    redact_keys: Sequence[str] = REDACTED
    redact_patterns: Sequence[str] = ()
    arguments_role: str = "operator"
    session_lifetime: float = 12 * 3600.0
    protect_metrics: bool = False

    @property
    def has_login(self) -> bool:
        """Whether anybody has to sign in."""
        return bool(self.basic_auth or self.password_file or self.auth_provider or self.proxy_user_header)
