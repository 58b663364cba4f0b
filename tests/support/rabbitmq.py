"""A private RabbitMQ node: its own name, ports, epmd, cookie and data, in a temporary directory."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pika
import pika.exceptions

from tests.support.environment import clean_environment, free_port, missing
from tests.support.process import Process
from tests.support.tls import Certificates

#: Debian's wrappers in /usr/sbin change to the user rabbitmq and its directories; the programs themselves are here.
PRIVATE_BIN = "/usr/lib/rabbitmq/bin"
ADVICE = "install it (Debian: apt-get install rabbitmq-server)"

_counter = itertools.count(1)


def _program(name: str, path: str | None = None) -> str:
    found = shutil.which(name, path=path) or shutil.which(name)
    if found is None:
        missing(name, ADVICE)
    return found


class RabbitMQServer(Process):
    """A node on 127.0.0.1 with the management plugin and a TLS listener; user guest, password guest."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, self.tls_port, self.management_port, dist_port, self.epmd_port = (free_port() for _ in range(5))
        self.certificates = Certificates.make(directory)
        self.node = f"umbel-test-{os.getpid()}-{next(_counter)}@localhost"
        self._write_configuration()
        node_env = {
            "HOME": str(directory),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(dist_port),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            # An idle VM that spins for work costs the tests a core; the distribution port is nobody else's business.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none"
            " -kernel inet_dist_use_interface {127,0,0,1}",
        }
        self._epmd = Process(
            [_program("epmd"), "-address", "127.0.0.1", "-port", str(self.epmd_port)], log=directory / "epmd.log"
        )
        server = _program("rabbitmq-server", PRIVATE_BIN)
        super().__init__([server], log=directory / "rabbitmq.log", env=node_env, cwd=directory)

    def _write_configuration(self) -> None:
        pem = self.certificates
        (self.directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.local = 127.0.0.1:{self.port}\n"
            f"listeners.ssl.local = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.cacertfile = {pem.authority}\n"
            f"ssl_options.certfile = {pem.certificate}\n"
            f"ssl_options.keyfile = {pem.key}\n"
            "ssl_options.verify = verify_none\n"
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.management_port}\n"
            "log.console.level = info\n"
        )
        (self.directory / "enabled_plugins").write_text("[rabbitmq_management,rabbitmq_consistent_hash_exchange].\n")
        (self.directory / "rabbitmq-env.conf").write_text("")

    @property
    def url(self) -> str:
        """Of the default virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    @property
    def tls_url(self) -> str:
        """As `url`, by TLS; trust `certificates.authority`."""
        return f"amqps://guest:guest@127.0.0.1:{self.tls_port}//"

    @property
    def management_url(self) -> str:
        """Of the management API, with user and password."""
        return f"http://guest:guest@127.0.0.1:{self.management_port}"

    def vhost(self, name: str) -> str:
        """Make the virtual host `name`, if it is not there yet; gives its URL."""
        self.api("PUT", f"/api/vhosts/{quote(name, safe='')}")
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        self.api("PUT", f"/api/permissions/{quote(name, safe='')}/guest", rights)
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{quote(name, safe='')}"

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the management API; gives its decoded answer, None if it is empty."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.management_port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Basic {b64encode(b'guest:guest').decode()}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = response.read()
        return json.loads(answer) if answer else None

    def ctl(self, *args: str) -> str:
        """Run rabbitmqctl on this node (it takes a second or two); gives what it printed."""
        done = subprocess.run(
            [_program("rabbitmqctl", PRIVATE_BIN), "--quiet", "--node", self.node, *args],
            env={**clean_environment(), **self.env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"rabbitmqctl {' '.join(args)}: {done.stdout}{done.stderr}"
        return done.stdout

    def answers(self) -> bool:
        """Does it take connections, and does its management API answer?"""
        try:
            pika.BlockingConnection(pika.URLParameters(f"amqp://guest:guest@127.0.0.1:{self.port}/%2F")).close()
            self.api("GET", "/api/overview")
        except (pika.exceptions.AMQPError, urllib.error.URLError, OSError):
            return False
        return True

    def start(self) -> RabbitMQServer:
        """Start it and wait until it answers: some seconds."""
        if not self._epmd.alive:
            self._epmd.start()
        super().start()
        self.wait_for(self.answers, "RabbitMQ answering", timeout=90)
        return self

    def stop(self, grace: float = 30.0) -> int:
        """Stop the node in good order; what is durable is there after the next start."""
        return super().stop(grace)

    def kill(self) -> int:
        """Kill the node at once, and its epmd."""
        self._epmd.kill()
        return super().kill()

    def restart(self) -> None:
        """Stop it and start it again on the same ports, with its durable queues and persistent messages."""
        self.stop()
        self.start()


def unacknowledged(server: RabbitMQServer, queue: str) -> int:
    """Messages of the queue (of the default virtual host) that somebody holds and has not acknowledged."""
    lines = server.ctl("list_queues", "name", "messages_unacknowledged").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{queue}\t"))
