"""A private PostgreSQL server: its own data, port and socket, in a temporary directory."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import psycopg

from tests.support.environment import clean_environment, free_port, missing
from tests.support.process import Process

#: Debian keeps the server's programs off PATH, one directory for each major version.
DEBIAN = Path("/usr/lib/postgresql")
ADVICE = "install it (Debian: apt-get install postgresql)"
#: What is lost when the machine stops does not matter to a test.
QUICK: Final = MappingProxyType({"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB"})
USER, PASSWORD = "umbel", "a secret: 100%/#"


def _program(name: str) -> str:
    found = sorted(DEBIAN.glob(f"*/bin/{name}"), key=lambda file: int(file.parts[-3].partition(".")[0]))
    program = str(found[-1]) if found else shutil.which(name)
    if program is None:
        missing(f"PostgreSQL's {name}", ADVICE)
    return program


def _account() -> pwd.struct_passwd | None:
    """Whom the server runs as: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    return accounts.get("postgres") or accounts["nobody"]


class PostgresServer(Process):
    """A server on 127.0.0.1 and a socket that keeps its data over restarts, though by default not over a power cut.

    Its superuser is `umbel`, who needs the password except through the socket.
    """

    def __init__(self, settings: Mapping[str, str] = QUICK) -> None:
        self._settings = settings
        self._account = _account()
        # Not below pytest's own directory, which only its owner may enter; and short, as a socket's path must be.
        self.directory = Path(tempfile.mkdtemp(prefix="umbel-pg-"))
        self.data = self.directory / "data"
        self.port = free_port()
        if self._account:
            os.chown(self.directory, self._account.pw_uid, self._account.pw_gid)
        self._make()
        super().__init__(
            [*self._prefix, _program("postgres"), "-D", self.data],
            log=self.directory / "log",
            cwd=self.directory,
        )

    @property
    def _prefix(self) -> list[str]:
        """What makes a command run as the server's account, in the same process."""
        if self._account is None:
            return []
        return ["setpriv", f"--reuid={self._account.pw_uid}", f"--regid={self._account.pw_gid}", "--clear-groups"]

    def _make(self) -> None:
        secret = self.directory / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        command = [*self._prefix, _program("initdb"), "-D", str(self.data), "--username", USER, "--encoding", "UTF8"]
        command += ["--locale", "C", "--no-sync", "--auth-local", "trust", "--auth-host", "scram-sha-256"]
        made = subprocess.run(
            [*command, "--pwfile", str(secret)],
            cwd=self.directory,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(
                f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = '{self.directory}'\n"
                "max_connections = 60\nlc_messages = 'C'\nlog_min_messages = warning\nmax_locks_per_transaction = 256\n"
            )
            file.writelines(f"{name} = {value}\n" for name, value in self._settings.items())

    def url(self, database: str = "postgres", schema: str = "") -> str:
        """As `--store` takes it, through the socket."""
        parameters = f"host={self.directory}&port={self.port}" + (f"&schema={schema}" if schema else "")
        return f"postgresql://{USER}@/{database}?{parameters}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A superuser's connection; close it."""
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=5)

    def answers(self) -> bool:
        """Does it take connections?"""
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def start(self) -> PostgresServer:
        """Start it and wait until it answers."""
        super().start()
        self.wait_for(self.answers, "PostgreSQL answering", timeout=60)
        return self

    def stop(self, grace: float = 30.0) -> int:
        """Stop it in good order, cutting off its clients; gives its exit code."""
        return self._end(signal.SIGINT, grace)

    def crash(self) -> int:
        """Stop it at once, as after a crash: it recovers at its next start."""
        return self._end(signal.SIGQUIT, 30.0)

    def _end(self, how: signal.Signals, grace: float) -> int:
        if self._popen is not None and self.alive:
            self.resume()
            self.signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(grace)
        return self.kill()

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.crash()
        shutil.rmtree(self.directory, ignore_errors=True)
