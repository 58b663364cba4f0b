"""Recognises who asks: by password, token, session or a proxy's word; and lets sessions and tokens begin and end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, Final

from umbel.access.base import (
    TOKEN_PREFIX,
    Credential,
    Departure,
    Kind,
    Passwords,
    Provider,
    SignInError,
    Vault,
    digest,
    new_secret,
)
from umbel.access.identity import Claims, Identity, Role, Roles, Via, role_of
from umbel.clock import Clock
from umbel.errors import SettingsError
from umbel.settings import Settings
from umbel.web.attempts import Attempts

#: Seconds that a sign-in at a provider may take.
PENDING: Final = 600.0
#: Days that a token may last.
LONGEST: Final = 3_660
DAY: Final = 86_400.0


class Login:
    """One for each app; its methods may ask the vault, so they run in threads."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        vault: Vault,
        passwords: Passwords | None = None,
        provider: Provider | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._vault = vault
        self.passwords = passwords
        self.provider = provider
        self._roles = Roles(settings.roles, settings.arguments_role, claimed=bool(settings.role_claim))
        self._proxies = Proxies(settings)
        self.attempts = Attempts(vault, clock)

    # Who it is

    def by_password(self, user: str, password: str) -> Identity | None:
        """Somebody by name and password; slow on purpose."""
        if self.passwords is None or not self.passwords.verify(user, password):
            return None
        return self._roles.identity(Claims(user, Via.PASSWORD))

    def by_token(self, token: str) -> Identity | None:
        """Whoever a token stands for."""
        found = self._found(token, Kind.TOKEN)
        role = role_of(str(found.about.get("role"))) if found else None
        if found is None or role is None:
            return None
        who = self._roles.identity(Claims(f"token {found.owner}", Via.TOKEN, role=role))
        return who and who.by(found.digest)

    def by_session(self, secret: str) -> Identity | None:
        """Whoever signed in with this browser, if they still may."""
        found = self._found(secret, Kind.SESSION)
        if found is None:
            return None
        via, groups = Via(found.about["via"]), tuple(found.about["groups"])
        if not self._still(found, via, groups):
            return None
        role = role_of(str(found.about["role"]))
        who = self._roles.identity(Claims(found.owner, via, groups, role))
        return who and who.by(found.digest)

    def _still(self, found: Credential, via: Via, groups: Sequence[str]) -> bool:
        """Whether the settings still let somebody in who has signed in earlier."""
        if via is Via.PASSWORD:
            return self.passwords is not None and self.passwords.stamp(found.owner) == found.about["stamp"]
        return self.provider is not None and self.provider.admits(found.owner, groups)

    def by_proxy(self, peer: str, headers: Mapping[str, str]) -> Identity | None:
        """Whoever a trusted proxy names; `peer` is the address that the connection comes from."""
        claims = self._proxies.claims(peer, headers)
        return self._roles.identity(claims) if claims else None

    def _found(self, secret: str, kind: Kind) -> Credential | None:
        if not secret or len(secret) > 200:
            return None
        found = self._vault.get(digest(secret))
        return found if found and found.kind is kind and found.expires_at > self._clock.now() else None

    # Sessions

    def begin(self, claims: Claims, address: str, browser: str) -> str | None:
        """Begin a session; the secret of its cookie, None where no role is meant for them."""
        if self._roles.identity(claims) is None:
            return None
        stamp = self.passwords.stamp(claims.name) if self.passwords and claims.via is Via.PASSWORD else None
        about = {
            "via": claims.via.value,
            "groups": list(claims.groups),
            "role": claims.role.word if claims.role else "",
            "stamp": stamp,
            "address": address[:100],
            "browser": browser[:200],
        }
        self._vault.prune(self._clock.now())
        return self._put(Kind.SESSION, claims.name, about, self._settings.session_lifetime)

    def end(self, secret: str) -> None:
        """End the session of this browser."""
        if secret:
            self._vault.drop(digest(secret))

    def end_session(self, number: str, owner: str | None) -> None:
        """End a session by its digest; `owner`: only one of theirs."""
        found = self._vault.get(number)
        if found and found.kind is Kind.SESSION and owner in (None, found.owner):
            self._vault.drop(number)

    def end_everywhere(self, owner: str) -> None:
        """End all sessions of somebody."""
        self._vault.drop_all(Kind.SESSION, owner)

    def sessions(self, owner: str | None) -> Sequence[Credential]:
        """Sessions that last, the newest first; None: everybody's."""
        now = self._clock.now()
        return [one for one in self._vault.listed(Kind.SESSION, owner) if one.expires_at > now]

    # At a provider

    def depart(self, redirect_uri: str, then: str) -> tuple[str, str]:
        """Begin a sign-in at the provider: where to send the browser, and the secret of its cookie until then."""
        departure = self._at_provider().depart(redirect_uri)
        about = {
            "state": departure.state,
            "memory": dict(departure.memory),
            "redirect_uri": redirect_uri,
            "then": then,
        }
        return departure.url, self._put(Kind.PENDING, "", about, PENDING)

    def arrive(self, secret: str, parameters: Mapping[str, str]) -> tuple[Claims, str]:
        """Who came back from the provider, and where they wanted to go; each departure is good for one arrival."""
        found = self._found(secret, Kind.PENDING)
        if found is None:
            raise SignInError("This sign-in was not begun by this browser, or too long ago. Begin again.")
        self._vault.drop(found.digest)
        about: Mapping[str, Any] = found.about
        departure = Departure("", about["state"], about["memory"])
        claims = self._at_provider().arrive(about["redirect_uri"], parameters, departure)
        return claims, str(about["then"])

    def _at_provider(self) -> Provider:
        if self.provider is None:
            raise SignInError("No provider of identity is configured.")
        return self.provider

    # Tokens

    def issue(self, label: str, role: Role, days: float, by: str) -> str:
        """A new token; this is the only time that it can be seen."""
        return issue(self._vault, self._clock.now(), label, role, days=days, by=by)

    def revoke(self, number: str) -> Credential | None:
        """End a token by its digest; what it was."""
        return revoke(self._vault, number)

    def tokens(self) -> Sequence[Credential]:
        """Every token, the newest first."""
        return self._vault.listed(Kind.TOKEN)

    def close(self) -> None:
        """Let go of the vault."""
        self._vault.close()

    def _put(self, kind: Kind, owner: str, about: Mapping[str, Any], seconds: float) -> str:
        secret, now = new_secret(), self._clock.now()
        self._vault.put(Credential(digest(secret), kind, owner, now, now + seconds, about))
        return secret


def issue(vault: Vault, now: float, label: str, role: Role, *, days: float, by: str) -> str:
    """A new token, which can be seen this once; raises `ValueError` for a label or days that will not do."""
    label = label.strip()
    if not label or len(label) > 100 or not label.isprintable():
        raise ValueError("a label of 1 to 100 printable characters is needed")
    if not 0 < days <= LONGEST:
        raise ValueError(f"a token lasts more than 0 and at most {LONGEST:,} days")
    token = new_secret(TOKEN_PREFIX)
    about = {"role": role.word, "by": by}
    vault.put(Credential(digest(token), Kind.TOKEN, label, now, now + days * DAY, about))
    return token


def revoke(vault: Vault, number: str) -> Credential | None:
    """End a token by its digest, or what it begins with if that is clear; what it was."""
    found = [one for one in vault.listed(Kind.TOKEN) if number and one.digest.startswith(number)]
    if len(found) != 1:
        return None
    vault.drop(found[0].digest)
    return found[0]


class Proxies:
    """The proxies whose word is believed."""

    def __init__(self, settings: Settings) -> None:
        self._user = settings.proxy_user_header
        self._groups = settings.proxy_groups_header
        self._socket = "unix" in settings.trusted_proxies
        if self._user and not settings.trusted_proxies:
            raise SettingsError(
                "--proxy-user-header needs --trusted-proxies, the proxy's address: anybody could send that header"
            )
        try:
            self._networks = [ip_network(one, strict=False) for one in settings.trusted_proxies if one != "unix"]
        except ValueError as error:
            raise SettingsError(f"--trusted-proxies: {error}; such as 10.0.0.7 or 10.0.0.0/24 is expected") from error

    def claims(self, peer: str, headers: Mapping[str, str]) -> Claims | None:
        """What a proxy says; None where it says nothing, or is not one of these."""
        if not self._user or not self._trusts(peer):
            return None
        name = headers.get(self._user, "").strip()
        if not name:
            return None
        groups = headers.get(self._groups, "") if self._groups else ""
        return Claims(name, Via.PROXY, tuple(one.strip() for one in groups.split(",") if one.strip()))

    def _trusts(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return self._socket and peer == "unix"
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self._networks)
