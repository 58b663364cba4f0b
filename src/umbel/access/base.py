"""What sign-in needs from outside: passwords, a provider of identity, and a vault that remembers who signed in."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

from umbel.access.identity import Claims
from umbel.errors import UmbelError

#: How an API token begins, so that scanners for leaked secrets know it.
TOKEN_PREFIX: Final = "umbel_"  # noqa: S105 - not a secret
#: Credentials that a list tells of.
LISTED: Final = 1_000


class SignInError(UmbelError):
    """Somebody could not be signed in; the message may be shown to them."""


class Kind(StrEnum):
    """What a credential is for."""

    #: A browser that has signed in.
    SESSION = "session"
    #: An API token.
    TOKEN = "token"  # noqa: S105 - a word, not a secret
    #: A sign-in under way at a provider.
    PENDING = "pending"
    #: A sign-in that failed, owned by the address that it came from; its digest is of nothing.
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Credential:
    """What the vault keeps of a secret: never the secret itself."""

    #: SHA-256 of the secret, hex; see `digest`.
    digest: str
    kind: Kind
    #: The user that it stands for.
    owner: str
    #: Wall times, UTC seconds.
    created_at: float
    expires_at: float
    #: JSON values.
    about: Mapping[str, Any] = field(default_factory=dict)


class Vault(Protocol):
    """Remembers credentials, for all webs on one store; safe to use from any thread; raises `StoreError`.

    What `put` or `drop` has returned from, every web sees.
    """

    def put(self, credential: Credential) -> None: ...

    def get(self, digest: str) -> Credential | None:
        """The credential, whether it has expired or not."""
        ...

    def listed(self, kind: Kind, owner: str | None = None) -> Sequence[Credential]:
        """Up to `LISTED`, the newest first; None: of all owners."""
        ...

    def drop(self, digest: str) -> None:
        """Forget one; none of that digest is fine."""
        ...

    def drop_all(self, kind: Kind, owner: str) -> None:
        """Forget all of that kind of an owner."""
        ...

    def prune(self, now: float) -> None:
        """Forget what expired before `now`."""
        ...

    def close(self) -> None: ...


class Passwords(Protocol):
    """Users with passwords."""

    def verify(self, user: str, password: str) -> bool:
        """Whether the password is the user's; takes as long for a user that there is not. Slow on purpose."""
        ...

    def stamp(self, user: str) -> str | None:
        """A text that changes when the user's password does; None for a user that there is not."""
        ...


@dataclass(frozen=True, slots=True)
class Departure:
    """Where a browser is sent to sign in, and what is to be remembered until it comes back."""

    url: str
    state: str
    #: JSON values, for `Provider.arrive`.
    memory: Mapping[str, Any]


class Provider(Protocol):
    """A provider of identity; its methods ask it over the network and raise `SignInError`."""

    #: For people: "GitHub".
    title: str

    def depart(self, redirect_uri: str) -> Departure:
        """Begin a sign-in."""
        ...

    def arrive(self, redirect_uri: str, parameters: Mapping[str, str], departure: Departure) -> Claims:
        """Who came back, by the parameters of the address they came back with."""
        ...

    def admits(self, name: str, groups: Sequence[str]) -> bool:
        """Whether the settings let this user in; asked at every request."""
        ...


def digest(secret: str) -> str:
    """What the vault knows a secret by; secrets are 256 random bits, so a plain hash will do."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_secret(prefix: str = "") -> str:
    """A secret of 256 random bits."""
    return prefix + secrets.token_urlsafe(32)
