"""What `umbel doctor` looks at on a Redis broker. Nothing here changes anything there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import redis

from umbel.brokers.base import Finding
from umbel.errors import SettingsError
from umbel.settings import Settings
from umbel.sources.redis_client import ERRORS, connect, explain
from umbel.sources.redis_url import RedisOptions, escape_glob

#: What kombu 5.7 needs.
OLDEST_VERSION: Final = (6, 2)
#: Bytes of output buffer below which a burst of events soon ends a subscription.
SMALL_BUFFER: Final = 8 * 1024 * 1024
#: kombu's set of the queues that listen for commands, one for each worker.
COMMANDS_BINDING: Final = "_kombu.binding.celery.pidbox"
#: How far workers are searched elsewhere: databases, steps of SCAN of about 1,000 keys, prefixes named.
DATABASES: Final = 16
SCANS: Final = 50
PREFIXES_SHOWN: Final = 5


def diagnose_redis(settings: Settings) -> list[Finding]:
    """Can events come from this broker, and if not, why; takes seconds at most, raises nothing for a broker's state."""
    try:
        options = RedisOptions.from_settings(settings)
    except SettingsError as error:
        return [Finding("error", "broker settings", str(error), "Correct the option that is named.")]
    try:
        client = connect(options, "umbel-doctor")
    except ERRORS as error:
        return [Finding("error", "broker", explain(error, options), "See the line above; nothing else can be checked.")]
    with client:
        findings = [Finding("ok", "broker", f"connected to {options.shown}")]
        for look in (_version, _output_buffer, _subscription, _workers):
            try:
                findings.append(look(client, options, settings))
            except redis.ResponseError as error:
                findings.append(_refused(look.__name__.strip("_").replace("_", " "), error))
            except ERRORS as error:
                return [*findings, Finding("error", "broker", explain(error, options))]
    return findings


def _refused(title: str, error: redis.ResponseError) -> Finding:
    return Finding(
        "warn",
        title,
        f"the server does not let this user look: {error}",
        "No harm if events arrive; else grant INFO, CONFIG GET and PUBSUB to the user.",
    )


def _version(client: redis.Redis, options: RedisOptions, settings: Settings) -> Finding:  # noqa: ARG001
    server: Any = client.info("server")
    text = str(server.get("redis_version", ""))
    numbers = tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
    if numbers < OLDEST_VERSION:
        return Finding("warn", "version", f"Redis {text}", "Celery's kombu 5.7 needs 6.2 or later; update the server.")
    return Finding("ok", "version", f"Redis {text}")


def _output_buffer(client: redis.Redis, options: RedisOptions, settings: Settings) -> Finding:  # noqa: ARG001
    found: Any = client.config_get("client-output-buffer-limit")
    words = str(found.get("client-output-buffer-limit", "")).split()
    at = words.index("pubsub")
    hard, soft, seconds = (int(word) for word in words[at + 1 : at + 4])
    detail = f"subscribers are cut off at {_mib(hard)}, or above {_mib(soft)} for {seconds} s"
    if any(0 < bound < SMALL_BUFFER for bound in (hard, soft)):
        remedy = "CONFIG SET client-output-buffer-limit 'pubsub 256mb 64mb 60' lets a burst pass without a gap."
        return Finding("warn", "output buffer", detail, remedy)
    return Finding("ok", "output buffer", detail)


def _mib(size: int) -> str:
    return f"{size / (1 << 20):g} MiB" if size else "no bound"


def _subscription(client: redis.Redis, options: RedisOptions, settings: Settings) -> Finding:
    """Whether we may subscribe where events are published."""
    channels = options.channels(settings.event_exchange)
    named = ", ".join(channels.patterns)
    try:
        with client.pubsub() as pubsub:
            pubsub.psubscribe(*channels.patterns)
            pubsub.subscribe(*channels.exact)
            for _ in range(len(channels.patterns) + len(channels.exact)):
                pubsub.get_message(timeout=options.timeout)
    except redis.ResponseError as error:
        return Finding(
            "error",
            "subscription",
            f"the server refuses {named}: {error}",
            "Grant the user SUBSCRIBE, PSUBSCRIBE and these channels (ACL SETUSER … &channel).",
        )
    return Finding(
        "ok", "subscription", f"events are looked for at {named}; {client.pubsub_numpat()} patterns are in use"
    )


def _workers(client: redis.Redis, options: RedisOptions, settings: Settings) -> Finding:  # noqa: ARG001
    """Workers enter where they listen for commands; that they do so elsewhere tells a wrong database or prefix."""
    listening: Any = client.scard(options.key(COMMANDS_BINDING))
    if listening:
        return Finding("ok", "workers", f"{listening} listen for commands in database {options.db}")
    elsewhere = _other_databases(client, options)
    if elsewhere:
        return Finding(
            "error",
            "workers",
            f"none listen in database {options.db}, but some do in database {', '.join(elsewhere)}",
            "Use the workers' database: the number at the end of --broker redis://host/NUMBER.",
        )
    prefixes = _other_prefixes(client, options)
    if prefixes:
        return Finding(
            "error",
            "workers",
            f"none listen under the prefix {options.global_keyprefix!r}, but some do under {', '.join(prefixes)}",
            "Set the workers' global_keyprefix in --broker-options.",
        )
    return Finding("warn", "workers", f"none listen for commands in database {options.db}", "Start a worker.")


def _other_databases(client: redis.Redis, options: RedisOptions) -> list[str]:
    keyspace: Any = client.info("keyspace")
    found = []
    for name in sorted(keyspace)[:DATABASES]:
        number = int(name.removeprefix("db"))
        if number == options.db:
            continue
        with connect(replace(options, db=number), "umbel-doctor") as other:
            listening: Any = other.scard(options.key(COMMANDS_BINDING))
        if listening:
            found.append(str(number))
    return found


def _other_prefixes(client: redis.Redis, options: RedisOptions) -> list[str]:
    found: set[str] = set()
    cursor = 0
    for _ in range(SCANS):
        answer: Any = client.scan(cursor, match="*" + escape_glob(COMMANDS_BINDING), count=1_000)
        cursor, keys = answer
        found |= {key.decode(errors="replace").removesuffix(COMMANDS_BINDING) for key in keys}
        if not cursor:
            break
    return [repr(prefix) for prefix in sorted(found - {options.global_keyprefix})[:PREFIXES_SHOWN]]
