"""Which of RabbitMQ's queues take the dead letters of which others, by the management API."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from umbel.brokers.base import DeadLetters
from umbel.errors import BrokerError
from umbel.model.delayed import DELAYED
from umbel.sources.amqp_api import ManagementApi

#: Queues whose bindings are asked for.
MAX_EXCHANGES: Final = 100


class _Queue(msgspec.Struct):
    name: str
    arguments: dict[str, Any] = {}
    effective_policy_definition: dict[str, Any] | list[Any] = {}
    messages_ready: int = 0

    def setting(self, name: str) -> str | None:
        """An argument of the queue, or else of its policy."""
        value = self.arguments.get(f"x-{name}")
        if value is None and isinstance(self.effective_policy_definition, dict):
            value = self.effective_policy_definition.get(name)
        return value if isinstance(value, str) else None


class _Binding(msgspec.Struct):
    destination: str
    destination_type: str = "queue"
    routing_key: str = ""


class _Exchange(msgspec.Struct):
    type: str = "direct"


def dead_letters(api: ManagementApi) -> Sequence[DeadLetters]:
    """Every queue of dead letters with those that it takes them from; raises `BrokerError`."""
    columns = "name,arguments,effective_policy_definition,messages_ready"
    queues = _asked(api, f"queues/{{vhost}}?columns={columns}", list[_Queue]) or []
    giving = [(queue, queue.setting("dead-letter-exchange")) for queue in queues]
    found: defaultdict[str, set[str]] = defaultdict(set)
    known: dict[str, tuple[str, list[_Binding]]] = {}
    for queue, exchange in giving:
        # Celery's delayed delivery passes messages on as dead letters; those are none.
        if exchange is None or queue.name.startswith(DELAYED) or exchange.startswith(DELAYED):
            continue
        # Without a key of its own a letter keeps the one it was sent with: for Celery, as a rule, the queue's name.
        key = queue.setting("dead-letter-routing-key") or queue.name
        if exchange not in known and len(known) < MAX_EXCHANGES:
            known[exchange] = _exchange(api, exchange)
        for target in _targets(exchange, key, known.get(exchange)):
            if target != queue.name:
                found[target].add(queue.name)
    ready = {queue.name: queue.messages_ready for queue in queues}
    return [DeadLetters(name, ready[name], sorted(sources)) for name, sources in sorted(found.items()) if name in ready]


def _exchange(api: ManagementApi, name: str) -> tuple[str, list[_Binding]]:
    """An exchange's type and what is bound to it."""
    if not name:
        return "default", []
    place = f"exchanges/{{vhost}}/{quote(name, '')}"
    known = _asked(api, place, _Exchange)
    return (known.type if known else "direct"), _asked(api, f"{place}/bindings/source", list[_Binding]) or []


def _targets(exchange: str, key: str, known: tuple[str, list[_Binding]] | None) -> list[str]:
    if known is None:
        return []
    type_, bindings = known
    if not exchange:
        return [key]
    fits = [one for one in bindings if one.destination_type == "queue" and _matches(type_, one.routing_key, key)]
    return [one.destination for one in fits]


def _matches(type_: str, bound: str, key: str) -> bool:
    """Whether an exchange of this type passes a message with `key` on to what is bound with `bound`."""
    if type_ == "topic":
        words = [{"*": r"[^.]+", "#": r".*"}.get(word, re.escape(word)) for word in bound.split(".")]
        pattern = r"\.".join(words).replace(r".*\.", r"(?:.*\.)?").replace(r"\..*", r"(?:\..*)?")
        return re.fullmatch(pattern, key) is not None
    return type_ in ("fanout", "headers") or bound == key


def _asked(api: ManagementApi, path: str, kind: Any) -> Any:
    raw = api.get(path)
    try:
        return None if raw is None else msgspec.json.decode(raw, type=kind)
    except msgspec.MsgspecError as error:
        raise BrokerError(f"the management API at {api.where} answers what is not understood: {error}") from error
