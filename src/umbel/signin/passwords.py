"""Users with passwords, hashed with argon2."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from umbel.clock import Clock
from umbel.errors import SettingsError

log = logging.getLogger(__name__)

#: Passwords that are checked at once: each takes 64 MiB.
AT_ONCE: Final = 2
#: Proven passwords that are remembered (as keyed hashes), and for how many seconds: scripts send theirs each time.
REMEMBERED: Final = 1_000
FRESH: Final = 60.0
#: Characters of a password that are looked at, at most.
LONGEST: Final = 4_096

_hasher: Final = PasswordHasher()


def hash_password(password: str) -> str:
    """The hash to keep of a password; the same text in another composition of its characters hashes alike."""
    return _hasher.hash(_normal(password))


def _normal(text: str) -> bytes:
    # Lone surrogates cannot come from a keyboard, but from an attacker: they are kept apart, not refused with an error.
    return unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")


class HashedPasswords:
    """`umbel.access.base.Passwords` from the settings; safe to use from several threads."""

    def __init__(self, entries: Iterable[str], clock: Clock) -> None:
        """`entries`, at least one: `user:hash` or `user:password`; `SettingsError` for a hash that is not argon2's."""
        self._hashes = dict(_entry(entry) for entry in entries)
        self._clock = clock
        self._turn = BoundedSemaphore(AT_ONCE)
        self._lock = Lock()
        self._key = secrets.token_bytes(32)
        #: Keyed hashes of user and password -> until when they count.
        self._proven: OrderedDict[bytes, float] = OrderedDict()

    def verify(self, user: str, password: str) -> bool:
        user = unicodedata.normalize("NFC", user)
        if len(password) > LONGEST:
            return False
        mark = hmac.digest(self._key, repr((user, _normal(password))).encode(), hashlib.sha256)
        if self._is_proven(mark):
            return True
        known = self._hashes.get(user)
        # For a user that there is not, another's hash is computed all the same: the time tells nothing.
        hashed = known or next(iter(self._hashes.values()))
        with self._turn:
            right = _is_right(hashed, password) and known is not None
        if right:
            self._remember(mark)
        return right

    def stamp(self, user: str) -> str | None:
        known = self._hashes.get(unicodedata.normalize("NFC", user))
        return hashlib.sha256(known.encode()).hexdigest()[:16] if known else None

    def _is_proven(self, mark: bytes) -> bool:
        with self._lock:
            return self._proven.get(mark, 0.0) > self._clock.now()

    def _remember(self, mark: bytes) -> None:
        with self._lock:
            self._proven[mark] = self._clock.now() + FRESH
            while len(self._proven) > REMEMBERED:
                self._proven.popitem(last=False)


def _is_right(known: str, password: str) -> bool:
    try:
        return _hasher.verify(known, _normal(password))
    except VerificationError:
        return False


def _entry(entry: str) -> tuple[str, str]:
    user, _, rest = entry.partition(":")
    user = unicodedata.normalize("NFC", user.strip())
    if not rest.startswith("$"):
        log.warning("the password of %s is given as it is; give its hash instead, from umbel hash-password", user)
        return user, hash_password(rest)
    try:
        _hasher.check_needs_rehash(rest)
    except InvalidHashError as error:
        raise SettingsError(
            f"the hash of the password of {user} is not argon2's; make one with umbel hash-password"
        ) from error
    return user, rest


def read_file(path: str) -> list[str]:
    """The `user:hash` lines of a file; empty ones and those with # are left out."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--password-file {path} cannot be read: {error}") from error
    kept = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    for number, line in enumerate(kept, 1):
        user, colon, rest = line.partition(":")
        if not (user and colon and rest):
            raise SettingsError(f"--password-file {path}: entry {number} is not user:hash")
    return kept
