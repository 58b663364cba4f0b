"""An OpenID provider as a real process, and a browser's way through its forms."""

from __future__ import annotations

import html
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

import httpx2

from tests.support.environment import free_port
from tests.support.process import Process

ROOT: Final = Path(__file__).resolve().parents[2]
SCRIPT: Final = Path(__file__).with_name("provider.mjs")
#: Where it lies once `make assets` has run.
PACKAGE: Final = ROOT / "node_modules" / "oidc-provider"


class OpenIDServer(Process):
    """`oidc-provider` with the client `umbel` for one redirect address."""

    def __init__(self, directory: Path, redirect_uri: str) -> None:
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        words = ["node", str(SCRIPT), self.issuer, str(self.port), redirect_uri]
        super().__init__(words, log=directory / "provider.log", cwd=ROOT)

    def start(self) -> OpenIDServer:
        super().start()
        self.wait_for(self._answers, "the provider answering", timeout=120)
        return self

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.issuer}/.well-known/openid-configuration", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def sign_in(self, url: str, user: str, redirect_uri: str) -> str:
        """Go through its forms as the user; the address it sends the browser back to."""
        with httpx2.Client(timeout=60) as client:
            answer = client.get(url)
            for _ in range(10):
                while answer.is_redirect:
                    place = urljoin(str(answer.url), answer.headers["location"])
                    if place.startswith(redirect_uri):
                        return place
                    answer = client.get(place)
                action = re.search(r'action="([^"]+)"', answer.text)
                prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
                assert action, answer.text
                assert prompt, answer.text
                form = {"prompt": prompt[1], "login": user, "password": "any"}
                answer = client.post(urljoin(str(answer.url), html.unescape(action[1])), data=form)
        raise AssertionError("the provider asks again and again")
