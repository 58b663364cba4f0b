"""Sign-in from the settings, and what is done about it on the command line: hashes of passwords, and tokens."""

from __future__ import annotations

import importlib
import sys
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from umbel.access.base import Kind, Provider
from umbel.access.identity import role_of
from umbel.clock import Clock, SystemClock
from umbel.errors import SettingsError, UmbelError
from umbel.runtime.stores import open_vault
from umbel.settings import Settings
from umbel.signin.passwords import HashedPasswords, hash_password, read_file
from umbel.signin.providers import Config, configured
from umbel.web.login import Login, issue, revoke


def open_login(settings: Settings, clock: Clock) -> Login | None:
    """How people and programs sign in; None where nobody has to. Raises `SettingsError` for what cannot be."""
    config = configured(settings)
    if not settings.has_login:
        return None
    entries = [*settings.basic_auth, *(read_file(settings.password_file) if settings.password_file else [])]
    return Login(
        settings,
        clock,
        open_vault(settings, clock),
        HashedPasswords(entries, clock) if entries else None,
        _provider(config, clock) if config else None,
    )


def _provider(config: Config, clock: Clock) -> Provider:
    # Half a second of the start, for those only who sign in by a provider.
    home: Any = importlib.import_module("umbel.signin.openid")
    provider: Provider = home.provider_of(config, clock)
    return provider


def hash_of(password: str) -> int:
    """Print the hash of a password; the exit status."""
    if not password:
        raise SettingsError("an empty password lets everybody in: give one")
    sys.stdout.write(f"{hash_password(password)}\n")
    return 0


def create_token(settings: Settings, label: str, role: str, days: float) -> int:
    """Print a new token, which can be seen this once."""
    wanted = role_of(role)
    if wanted is None:
        raise SettingsError(f"--role {role}: viewer, operator or admin is expected")
    clock = SystemClock()
    with closing(open_vault(settings, clock)) as vault:
        try:
            token = issue(vault, clock.now(), label, wanted, days=days, by="the command line")
        except ValueError as error:
            raise SettingsError(f"no token was made: {error}") from error
    sys.stdout.write(f"{token}\n")
    return 0


def list_tokens(settings: Settings) -> int:
    """Print what is known of each token."""
    clock = SystemClock()
    with closing(open_vault(settings, clock)) as vault:
        for one in vault.listed(Kind.TOKEN):
            ends = datetime.fromtimestamp(one.expires_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
            state = "ends" if one.expires_at > clock.now() else "ended"
            sys.stdout.write(f"{one.digest[:12]}  {one.about['role']:8}  {state} {ends}  {one.owner}\n")
    return 0


def revoke_token(settings: Settings, number: str) -> int:
    """End a token by what its number begins with."""
    with closing(open_vault(settings, SystemClock())) as vault:
        found = revoke(vault, number)
    if found is None:
        raise UmbelError(f"{number!r} is the beginning of no token, or of several: umbel token list shows them")
    sys.stdout.write(f"revoked: {found.owner}\n")
    return 0
