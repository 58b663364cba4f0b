"""Failed sign-ins, counted in the store's vault: one bound for all webs on a store, whichever of them is asked."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from threading import Lock
from typing import Final

from umbel.access.base import Credential, Kind, Vault, digest, new_secret
from umbel.clock import Clock
from umbel.web.throttle import Throttle

#: Of one address, within a span of seconds.
FAILURES: Final = 10
MINUTE: Final = 60.0
#: Bits of an IPv6 address that tell one customer from another; the rest they choose themselves.
_CUSTOMER: Final = 64


def origin(address: str) -> str:
    """What failures of an address are counted by."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if not isinstance(known, IPv6Address) or known.ipv4_mapped:
        return str(getattr(known, "ipv4_mapped", None) or known)
    return str(ip_network((known, _CUSTOMER), strict=False))


class Attempts:
    """Bounds what may fail; methods but `quick` ask the vault, so they run in threads, and raise `StoreError`."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock
        self._own = Throttle(clock, FAILURES, MINUTE)
        self._lock = Lock()
        self._pruned_at = clock.monotonic()

    def quick(self, key: str) -> float:
        """Seconds to wait for all that this web knows by itself; 0: ask the vault."""
        return self._own.wait(key)

    def wait(self, key: str) -> float:
        """Seconds until the key may try again; 0: now."""
        now = self._clock.now()
        ends = sorted((one.expires_at for one in self._vault.listed(Kind.FAILURE, key)), reverse=True)
        lasting = [end for end in ends if end > now]
        return lasting[FAILURES - 1] - now if len(lasting) >= FAILURES else 0.0

    def count(self, key: str) -> None:
        """Note a failure."""
        self._own.count(key)
        now = self._clock.now()
        self._vault.put(Credential(digest(new_secret()), Kind.FAILURE, key, now, now + MINUTE))
        with self._lock:
            due = self._clock.monotonic() - self._pruned_at >= MINUTE
            if due:
                self._pruned_at = self._clock.monotonic()
        if due:
            self._vault.prune(now)

    def forget(self, key: str) -> None:
        """Let the key begin anew."""
        self._own.forget(key)
        self._vault.drop_all(Kind.FAILURE, key)
