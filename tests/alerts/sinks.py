"""Where alerts arrive: a web server that takes what is posted, and a mail server; both real."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class Hook:
    """A webhook that keeps what it is sent; it answers with `status`, and while it `holds`, not at all."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        #: By which it could tell that it has had a message before, of each that was taken.
        self.keys: list[str] = []
        self.refused = 0
        self.status = 200
        #: Set: answers come at once.
        self.free = threading.Event()
        self.free.set()
        #: Requests that have come in.
        self.asked = 0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                hook.asked += 1
                hook.free.wait(60)
                if hook.status == 200:
                    hook.taken.append(json.loads(body or b"{}"))
                    hook.keys.append(self.headers.get("Idempotency-Key", ""))
                else:
                    hook.refused += 1
                self.send_response(hook.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST  # noqa: N815 - its name

            def log_message(self, *args: object) -> None:
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        """As Apprise writes it; the path is a secret."""
        return f"json://127.0.0.1:{self.server.server_port}/S3CRET-PATH"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/S3CRET-PATH"

    @property
    def titles(self) -> list[str]:
        return [str(one["title"]) for one in self.taken]


@contextmanager
def hook() -> Iterator[Hook]:
    """A webhook on a free port."""
    made = Hook()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.free.set()
        made.server.shutdown()
        made.server.server_close()
        thread.join(10)


class Mail:
    """A mail server that keeps what it is sent."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []
        self.port = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content)
        parts = [part.get_payload(decode=True) for part in message.walk() if part.get_content_type() == "text/plain"]
        body = b"".join(part for part in parts if isinstance(part, bytes)).decode()
        self.taken.append((str(message["Subject"]), body))
        return "250 OK"

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}?from=umbel@example.com&to=ops@example.com&mode=insecure"


class _OnFreePort(Controller):
    """Looks for itself under the port that it was given."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def mail() -> Iterator[Mail]:
    """A mail server on a free port."""
    made = Mail()
    controller = _OnFreePort(made, hostname="127.0.0.1", port=0)
    controller.start()
    made.port = controller.port
    try:
        yield made
    finally:
        controller.stop()
