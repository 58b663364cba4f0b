"""Who somebody is, and what their role lets them do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, IntEnum, StrEnum
from fnmatch import translate as glob_pattern
from re import IGNORECASE, Pattern
from re import compile as compile_pattern
from typing import Final

from umbel.errors import SettingsError

#: Header of a request that is to be shown no arguments and results, whatever the role sees.
HIDE: Final = "Umbel-Hide"


class Role(IntEnum):
    """Each may do what the one before it may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        return self.name.lower()


def role_of(word: str) -> Role | None:
    """The role of that name."""
    return Role.__members__.get(word.strip().upper())


class Permit(Enum):
    """What a route asks for."""

    #: Nothing: anybody may have it.
    OPEN = "open"
    #: Open unless `--protect-metrics`.
    METRICS = "metrics"
    #: Look at tasks, workers, queues, figures.
    VIEW = "view"
    #: See arguments, results and raw events.
    DATA = "data"
    #: Change tasks, workers or queues; which ones, the rules say.
    CONTROL = "control"
    #: One's own session.
    OWN = "own"
    #: Tokens, sessions of others, the audit trail.
    ADMIN = "admin"


class Via(StrEnum):
    """How somebody was recognised."""

    NOBODY = "nobody"
    PASSWORD = "password"  # noqa: S105 - a word, not a secret
    OPENID = "openid"
    PROXY = "proxy"
    TOKEN = "token"  # noqa: S105 - as above


@dataclass(frozen=True, slots=True)
class Claims:
    """What is known of somebody who has just been recognised."""

    name: str
    via: Via
    groups: Sequence[str] = ()
    #: A role that came with them (of a token, or a claim of the provider); None: the settings say.
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody, with their role."""

    #: "" for somebody who has not signed in.
    name: str
    role: Role
    via: Via = Via.NOBODY
    groups: Sequence[str] = ()
    #: Whether arguments and results are shown to them.
    data: bool = True
    #: The digest of the session or token by which they came; "" for none.
    digest: str = ""

    def may(self, permit: Permit) -> bool:
        """Whether the role has the permission; what may be controlled is for the rules to say."""
        if permit is Permit.DATA:
            return self.data
        # A viewer may be given something to control by a rule.
        return self.role >= _LEAST[permit]

    def by(self, digest: str) -> Identity:
        """The same, recognised by this session or token."""
        return replace(self, digest=digest)


_LEAST: Final = {
    Permit.OPEN: Role.VIEWER,
    Permit.METRICS: Role.VIEWER,
    Permit.VIEW: Role.VIEWER,
    Permit.OWN: Role.VIEWER,
    Permit.CONTROL: Role.VIEWER,
    Permit.ADMIN: Role.ADMIN,
}
#: Who needs no sign-in.
EVERYBODY: Final = Identity("", Role.ADMIN)
#: Who reaches an Umbel without a login from elsewhere.
STRANGER: Final = Identity("", Role.VIEWER, data=False)


@dataclass(frozen=True, slots=True)
class _Assignment:
    #: `group` or `user`.
    kind: str
    pattern: Pattern[str]
    role: Role


def glob(text: str, flags: int = 0) -> Pattern[str]:
    """A pattern with `*` for any run of characters, for a full match."""
    return compile_pattern(glob_pattern(text.replace("[", "[[]").replace("?", "[?]")), flags)


class Roles:
    """Who has which role: the first entry that matches."""

    def __init__(self, entries: Sequence[str], arguments_role: str = "operator", *, claimed: bool = False) -> None:
        """`claimed`: the provider is asked for roles, so who comes from there without one has none."""
        self._claimed = claimed
        self._assignments = [_assignment(entry) for entry in entries]
        self._data = role_of(arguments_role) or Role.OPERATOR

    def identity(self, claims: Claims) -> Identity | None:
        """Somebody with their role; None where none is meant for them."""
        role = claims.role or self._role(claims)
        if role is None:
            return None
        return Identity(claims.name, role, claims.via, claims.groups, data=role >= self._data)

    def _role(self, claims: Claims) -> Role | None:
        if not self._assignments:
            return None if self._claimed and claims.via is Via.OPENID else Role.ADMIN
        for one in self._assignments:
            names = claims.groups if one.kind == "group" else (claims.name,)
            if any(one.pattern.match(name) for name in names):
                return one.role
        return None


def _assignment(entry: str) -> _Assignment:
    who, separator, word = entry.rpartition("=")
    role = role_of(word)
    if not separator or not who.strip() or role is None:
        raise SettingsError(
            f"--roles: {entry!r} cannot be used; WHO=ROLE is expected, such as ann@example.com=admin or "
            "group:ops=operator, with viewer, operator or admin"
        )
    who = who.strip()
    kind, colon, name = who.partition(":")
    if colon and kind == "group":
        return _Assignment("group", glob(name), role)
    # Addresses are the same in any case.
    return _Assignment("user", glob(who, IGNORECASE), role)
