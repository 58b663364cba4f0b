"""The dead man's ping: a request to a service outside that raises the alarm once none come."""

from __future__ import annotations

from typing import Final

import httpx2

from umbel import __version__

#: Seconds that the service has to answer.
PATIENCE: Final = 10.0


def ping(url: str, method: str) -> str:
    """Ask for the URL; "" if the service took it, else why not, without the URL, which is the secret."""
    try:
        answer = httpx2.request(method.upper(), url, timeout=PATIENCE, headers={"User-Agent": f"umbel/{__version__}"})
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        return type(error).__name__
    return "" if answer.is_success else f"it answered {answer.status_code}"
