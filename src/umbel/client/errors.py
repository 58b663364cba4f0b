"""What can go wrong when another Umbel is asked.

ClientError
├── Unreachable      no connection, no answer in time, or it broke off
├── NotAnUmbel       something answers, and it is no Umbel
├── NotAllowed       nobody has signed in, or the role may not do this
├── NotFound         there is no such thing
├── NotAccepted      a parameter, body or setting cannot be used
│   └── WrongSearch  the search cannot be understood; knows the position
├── Unavailable      store, broker or workers cannot be asked just now, or too much is asked at once
└── ServerFailed     the other Umbel failed at it

Messages name the address, the thing and the remedy, never a token or password.
"""

from __future__ import annotations

from umbel.errors import UmbelError


class ClientError(UmbelError):
    """The other Umbel cannot be asked."""


class Unreachable(ClientError):
    """The other Umbel does not answer."""


class NotAnUmbel(ClientError):
    """What answers is no Umbel."""


class NotAllowed(ClientError):
    """This may not be done."""


class NotFound(ClientError):
    """There is no such thing."""


class NotAccepted(ClientError):
    """What was asked cannot be done as it was asked."""


class WrongSearch(NotAccepted):
    """The search cannot be understood."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        #: What is wrong, without the position.
        self.reason = message.removesuffix(f" at character {position + 1}")
        #: Offset into the search text, from 0.
        self.position = position


class Unavailable(ClientError):
    """It cannot be done just now."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        #: Seconds after which to come again; None where that is not known, or would not help.
        self.retry_after = retry_after


class ServerFailed(ClientError):
    """The other Umbel failed."""
