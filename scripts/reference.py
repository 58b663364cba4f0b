"""The reference, written from the code: options, commands, metrics, endpoints, and the fields of events.

Each function gives Markdown for the place in `docs/reference/` that names it (`<!-- from the code: options -->`);
`scripts/site_pages.py` puts it there when the site is built.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, get_args

import click
import msgspec
from fastapi import FastAPI

from umbel import cli
from umbel.access.identity import Permit
from umbel.metrics.names import HELP, TASKS_HELP
from umbel.model.event import CLASS_OF_TYPE, CustomEvent, Event, KnownEvent, TaskEvent, WorkerEvent
from umbel.settings import GIB, MIB, OPTIONS
from umbel.settings_option import Option
from umbel.web import routes
from umbel.web.api_document import complete
from umbel.web.permits import PERMITS

#: What a permit asks of who comes, in words.
WHO: Final[Mapping[Permit, str]] = {
    Permit.OPEN: "everybody",
    Permit.METRICS: "everybody, unless `--protect-metrics`",
    Permit.OWN: "who has signed in",
    Permit.VIEW: "viewer",
    Permit.DATA: "who may see arguments",
    Permit.CONTROL: "operator",
    Permit.ADMIN: "admin",
}


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows)]) + "\n"


def _default(option: Option) -> str:
    value = option.default
    if option.is_switch:
        return "on" if value else "off"
    if value in ("", (), None) or value == {}:
        return "not set"
    if option.metavar == "SIZE" and value:
        return (
            f"`{value // GIB}GiB`" if value % GIB == 0 else f"`{value // MIB}MiB`" if value % MIB == 0 else f"`{value}`"
        )
    return f"`{','.join(map(str, value)) if isinstance(value, tuple) else value}`"


def _option(option: Option) -> str:
    flags = ", ".join(f"`{flag}`" for flag in (*option.short, option.flag))
    written = f"{flags} or `--no-{option.flag[2:]}`" if option.is_switch else f"{flags} *{option.metavar}*"
    return (
        f"### {option.flag} {{ #{option.flag[2:]} }}\n\n{option.help.replace('*', chr(92) + '*')}\n\n"
        f"{written}; variable `{option.env}`; key `{option.name}`; default: {_default(option)}\n"
    )


def options() -> str:
    """Every option: flags, variable, key of the file, default, meaning."""
    return "\n".join(map(_option, OPTIONS))


def _commands(group: click.Group, before: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        yield f"{before} {name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{before} {name}")


def _own(command: click.Command) -> Iterator[click.Parameter]:
    """The parameters that not every command has."""
    shared = {option.name for option in OPTIONS} | {"config"}
    for parameter in command.params:
        if parameter.name not in shared and not getattr(parameter, "hidden", False):
            yield parameter


def _parameter(parameter: click.Parameter) -> tuple[str, str]:
    if isinstance(parameter, click.Argument):
        return f"`{(parameter.name or '').upper()}`", "any number" if parameter.nargs == -1 else "needed"
    choices = f" ({', '.join(parameter.type.choices)})" if isinstance(parameter.type, click.Choice) else ""
    default = "" if parameter.default in (None, "") or not isinstance(parameter, click.Option) else parameter.default
    said = f"{(getattr(parameter, 'help', '') or '').rstrip('.')}{choices}".strip()
    shown = f"; default `{default}`" if isinstance(default, str | int | float) and default != "" else ""
    return f"`{parameter.opts[0]}`", f"{said}{shown}"


def commands() -> str:
    """Every command with what it takes besides the options."""
    parts = []
    for name, command in _commands(cli.main, "umbel"):
        own = [_parameter(parameter) for parameter in _own(command)]
        table = "\n" + _table(["Takes", ""], own) if own else ""
        parts.append(f"### {name}\n\n{inspect.cleandoc(command.help or '')}\n{table}")
    return "\n".join(parts)


def metrics() -> str:
    """Every metric by name, with its kind and what it tells."""
    rows = ((f"`{name}`", kind, told) for name, (kind, told) in sorted({**HELP, **TASKS_HELP}.items()))
    return _table(["Metric", "Kind", "Tells"], rows)


def document() -> Mapping[str, Any]:
    """The OpenAPI document that a running Umbel gives."""
    app = FastAPI(title="Umbel")
    routes.install(app)
    return complete(app.openapi(), login=True, metrics=False)


def _type(schema: Mapping[str, Any]) -> str:
    """A JSON schema in a word or two, with a link to the shape that it names."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{_anchor(name)})"
    several = schema.get("anyOf") or schema.get("oneOf") or (_each(schema) if len(_words(schema)) > 1 else ())
    if several:
        return " or ".join(dict.fromkeys(map(_type, several)))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum") or [schema["const"]])
    (word,) = _words(schema) or ("anything",)
    inner = schema.get("items") or schema.get("additionalProperties")
    of = f" of {_type(inner)}" if isinstance(inner, Mapping) else ""
    return f"{'list' if word == 'array' else word}{of}{' (date-time)' if schema.get('format') == 'date-time' else ''}"


def _each(schema: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [{**schema, "type": word} for word in _words(schema)]


def _words(schema: Mapping[str, Any]) -> Sequence[str]:
    """The names of its types: usually one."""
    type_ = schema.get("type", ())
    return (type_,) if isinstance(type_, str) else tuple(type_)


def _anchor(name: str) -> str:
    return "shape-" + re.sub(r"\W+", "-", name.lower()).strip("-")


def _fields(schema: Mapping[str, Any]) -> str:
    needed = set(schema.get("required", ()))
    rows = (
        (f"`{name}`", _type(field), "needed" if name in needed else "", field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
    )
    return _table(["Field", "Type", "", "Meaning"], rows)


def _takes(parameter: Mapping[str, Any]) -> tuple[str, str, str]:
    schema = parameter.get("schema", {})
    default = schema.get("default", "")
    bounds = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    told = "; ".join(filter(None, [parameter.get("description", "").rstrip("."), " ".join(bounds)]))
    shown = f"default `{default}`" if default not in ("", None) else "needed" if parameter.get("required") else ""
    return f"`{parameter['name']}`", _type(schema), "; ".join(filter(None, [told, shown]))


def _answer(responses: Mapping[str, Any]) -> str:
    for status, response in responses.items():
        if status.startswith("2"):
            content = response.get("content", {})
            shape = next((_type(one["schema"]) for one in content.values() if one.get("schema")), "")
            return f"Answers {status}{f': {shape}' if shape and shape != 'anything' else ''}."
    return ""


def _body(operation: Mapping[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    schema = next((one["schema"] for one in content.values()), None)
    if schema is None:
        return ""
    return _fields(schema) if schema.get("properties") else f"The body: {_type(schema)}.\n"


def _endpoint(method: str, path: str, operation: Mapping[str, Any]) -> str:
    template = {
        key.split(" ", 1)[0] + " " + key.split(" ", 1)[1].replace(":path}", "}"): who for key, who in PERMITS.items()
    }
    who = WHO[template.get(f"{method.upper()} {path}", Permit.ADMIN)]
    told = operation.get("description", "").strip()
    parts = [f"### {method.upper()} {path}\n", told + "\n", f"For: {who}. {_answer(operation['responses'])}\n"]
    if operation.get("parameters"):
        parts.append(_table(["Parameter", "Type", "Meaning"], map(_takes, operation["parameters"])))
    return "\n".join(filter(None, [*parts, _body(operation)]))


def api() -> str:
    """Every endpoint of the API, then every shape that its answers and bodies have."""
    described = document()
    parts = ["## Endpoints\n"]
    for path, item in sorted(described["paths"].items()):
        parts += [_endpoint(method, path, operation) for method, operation in item.items()]
    parts.append("## Shapes\n")
    for name, schema in sorted(described.get("components", {}).get("schemas", {}).items()):
        told = schema.get("description", "").strip()
        fields = _fields(schema) if schema.get("properties") else f"One of {_type(schema)}.\n"
        parts.append(
            "\n".join(filter(None, [f"### {name} {{ #{_anchor(name)} }}\n", f"{told}\n" if told else "", fields]))
        )
    return "\n".join(parts)


def addresses() -> str:
    """Every address that is not under /api/v1: pages, probes, Flower's."""
    rows = ((f"`{key}`", WHO[who]) for key, who in PERMITS.items() if " /api/v1/" not in key)
    return _table(["Address", "For"], rows)


#: What each field of an event means; its unit where it has one.
EVENT_FIELDS: Final[Mapping[str, str]] = {
    "hostname": "the process that sent the event: `worker@host`, or `gen123@host` for a publisher",
    "timestamp": "when, by the clock of that process: UTC seconds since 1970",
    "pid": "process id on that host",
    "clock": "the process's Lamport clock; kept, never used to order events",
    "uuid": "the task's id",
    "name": "the task's name",
    "args": "positional arguments as text, as Celery wrote them",
    "kwargs": "keyword arguments as text",
    "root_id": "id of the workflow's first task",
    "parent_id": "id of the task that sent this one",
    "retries": "how many retries came before",
    "eta": "not before this time, ISO 8601",
    "expires": "not after this time, ISO 8601",
    "queue": "the queue that it was sent to",
    "exchange": "the exchange that it was sent to",
    "routing_key": "the routing key that it was sent with",
    "result": "the result as text",
    "runtime": "how long it ran, seconds",
    "exception": "the exception as text",
    "traceback": "its traceback",
    "requeue": "whether the broker delivers the message again",
    "terminated": "whether the running task was stopped",
    "signum": "the signal that stopped it",
    "expired": "whether it was revoked because it had expired",
    "freq": "seconds between two heartbeats",
    "active": "tasks that run now",
    "processed": "tasks begun since the worker started",
    "loadavg": "load average of the host over 1, 5 and 15 minutes",
    "sw_ident": "software, such as `py-celery`",
    "sw_ver": "its version",
    "sw_sys": "operating system",
    "type": "the type on the wire, such as `task-progress`",
    "fields": "the application's own fields, as a JSON object",
}


def _event(kind: type[Event], base: type[Event]) -> str:
    tag = kind.__struct_config__.tag or "anything else"
    inherited = {field.name for field in msgspec.structs.fields(base)} if base is not kind else set()
    own = [field.name for field in msgspec.structs.fields(kind) if field.name not in inherited]
    class_ = CLASS_OF_TYPE.get(str(tag), CLASS_OF_TYPE["task-sent"])
    rows = [(f"`{name}`", EVENT_FIELDS[name]) for name in own]
    table = "\n" + _table(["Field", "Meaning"], rows) if rows else ""
    return f"### {tag}\n\n{inspect.cleandoc(kind.__doc__ or '')} Class: {class_}.\n{table}"


def _base(kind: type[Event]) -> type[Event]:
    return next(base for base in (TaskEvent, WorkerEvent, Event) if issubclass(kind, base))


def events() -> str:
    """Every event with its own fields, after those that all, and all of a family, have."""
    parts = []
    for title, family, above in (
        ("Every event", Event, None),
        ("Every task event", TaskEvent, Event),
        ("Every worker event", WorkerEvent, Event),
    ):
        had = {field.name for field in msgspec.structs.fields(above)} if above else set()
        names = [field.name for field in msgspec.structs.fields(family) if field.name not in had]
        rows = [(f"`{name}`", EVENT_FIELDS[name]) for name in names]
        parts.append(f"### {title}\n\n{_table(['Field', 'Meaning'], rows)}")
    parts += [_event(kind, _base(kind)) for kind in (*get_args(KnownEvent), CustomEvent)]
    return "\n".join(parts)


#: By the name that a page calls for.
PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "options": options,
    "commands": commands,
    "metrics": metrics,
    "api": api,
    "addresses": addresses,
    "events": events,
}
