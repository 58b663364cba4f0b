"""A client for Umbel's API: `from umbel.client import Client`.

Loads no part of the web and no driver of a store or broker. Times are aware datetimes in UTC, durations seconds.
"""

from __future__ import annotations

from umbel.client.api import Client, Export
from umbel.client.errors import (
    ClientError,
    NotAccepted,
    NotAllowed,
    NotAnUmbel,
    NotFound,
    ServerFailed,
    Unavailable,
    Unreachable,
    WrongSearch,
)

__all__ = [
    "Client",
    "ClientError",
    "Export",
    "NotAccepted",
    "NotAllowed",
    "NotAnUmbel",
    "NotFound",
    "ServerFailed",
    "Unavailable",
    "Unreachable",
    "WrongSearch",
]
