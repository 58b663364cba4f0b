"""Flower's options as Umbel's: each is translated, or taken with a word why it has no counterpart, or refused.

What cannot be done here is refused where leaving it out would open something that was closed (a login, a redaction);
where it would only look different it is taken, and said.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from umbel.errors import SettingsError


class Fate(StrEnum):
    """What becomes of an option."""

    TRANSLATED = "translated"
    NOTICED = "no counterpart"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class FlowerOption:
    """One of Flower's options."""

    name: str
    #: Umbel's option that takes its place; "" where there is none.
    target: str = ""
    #: From Flower's value to Umbel's.
    convert: Callable[[Any], Any] = lambda value: value
    #: Why it has no counterpart.
    notice: str = ""
    #: What to do instead; the start is refused while it is set.
    remedy: str = ""
    #: Whether a flag without a value means true.
    switch: bool = False
    #: Whether its value is never repeated.
    secret: bool = False
    #: What Flower takes for granted with it: by option of Umbel's, unless another of Flower's says so.
    also: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fate(self) -> Fate:
        if self.target:
            return Fate.TRANSLATED
        return Fate.REFUSED if self.remedy else Fate.NOTICED

    @property
    def env(self) -> str:
        return f"FLOWER_{self.name.upper()}"


@dataclass(frozen=True, slots=True)
class Found:
    """An option that somebody set, and where."""

    option: FlowerOption
    value: Any
    #: Such as `FLOWER_PORT` or `port in flowerconfig.py`.
    origin: str


@dataclass(slots=True)
class Translation:
    """Flower's configuration in Umbel's terms."""

    #: By option of Umbel's, what would be written for it, with its origin.
    values: dict[str, tuple[Any, str]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    #: One line for each option set, in the order of their weight.
    lines: list[str] = field(default_factory=list)


def truth(value: Any) -> bool:
    """A switch as Flower takes it; raises `ValueError`."""
    text = str(value).strip().lower()
    if text in ("y", "yes", "t", "true", "on", "1"):
        return True
    if text in ("n", "no", "f", "false", "off", "0", "", "none"):
        return False
    raise ValueError("true or false is expected")


def _address(value: Any) -> str:
    # Flower's empty address is every interface.
    return str(value) or "0.0.0.0"  # noqa: S104 - what Flower does, asked for by who set it


def _milliseconds(value: Any) -> float:
    return float(value) / 1_000


def _list(value: Any) -> str:
    values = value if isinstance(value, list | tuple) else str(value).split(",")
    return ",".join(str(one).strip() for one in values)


def _site(value: Any) -> str:
    """A host, or an address, as an issuer's address."""
    text = str(value).strip().rstrip("/")
    return text if "://" in text or not text else f"https://{text}"


def _level(value: Any) -> str:
    text = str(value).lower()
    return text if text in ("debug", "info", "warning", "error") else "info"


_KEPT: Final = "history is always kept, in the store"
_LOGS: Final = "Umbel logs to standard error; whatever runs it keeps and rotates that"

#: Every option of Flower 2.2, and those of Tornado that it takes.
FLOWER_OPTIONS: Final = (
    FlowerOption("address", "host", _address),
    FlowerOption("port", "port"),
    FlowerOption("unix_socket", "unix_socket"),
    FlowerOption("url_prefix", "url_prefix", lambda value: value or ""),
    FlowerOption("certfile", "certfile", lambda value: value or ""),
    FlowerOption("keyfile", "keyfile", lambda value: value or ""),
    FlowerOption("ca_certs", notice="Flower asks no client for a certificate with it, nor does Umbel"),
    FlowerOption("xheaders", "xheaders", truth, switch=True),
    FlowerOption("debug", "log_level", lambda value: "debug" if truth(value) else "info", switch=True),
    FlowerOption("auth", "auth"),
    FlowerOption("auth_provider", "auth_provider", lambda value: value or ""),
    FlowerOption("basic_auth", "basic_auth", secret=True),
    FlowerOption("oauth2_key", "oauth2_key", lambda value: value or ""),
    FlowerOption("oauth2_secret", "oauth2_secret", lambda value: value or "", secret=True),
    FlowerOption("oauth2_redirect_uri", "oauth2_redirect_uri", lambda value: value or ""),
    FlowerOption("cookie_secret", notice="sessions are kept in the store and survive a restart; nothing is signed"),
    FlowerOption("read_only", "read_only", truth, switch=True),
    FlowerOption("broker_api", "broker_api", lambda value: value or "", secret=True),
    FlowerOption("inspect_timeout", "inspect_timeout", _milliseconds),
    FlowerOption("enable_events", "enable_events", truth, switch=True),
    FlowerOption("persistent", notice=_KEPT, switch=True),
    FlowerOption("db", notice=f"{_KEPT}; --store says where"),
    FlowerOption("state_save_interval", notice=f"{_KEPT}; each batch is saved before it counts as received"),
    FlowerOption("max_workers", notice="memory does not grow with workers; --retention says how long they are kept"),
    FlowerOption("max_tasks", notice="tasks are kept on disk; --retention and --retention-bytes say how many"),
    FlowerOption("purge_offline_workers", "purge_offline_workers", lambda value: None if value == "" else value),
    FlowerOption("auto_refresh", notice="the pages stay live by themselves", switch=True),
    FlowerOption("natural_time", "natural_time", truth, switch=True),
    FlowerOption("tasks_columns", "tasks_columns", _list),
    FlowerOption(
        "format_task",
        remedy="Umbel runs no code over tasks, and will not show what that function may have hidden. Leave it out once"
        " the arguments may be seen, or hide them where they are sent, with argsrepr and kwargsrepr.",
    ),
    FlowerOption("task_runtime_metric_buckets", "task_runtime_metric_buckets", _list),
    FlowerOption("conf", notice="it names the file that is read here"),
    FlowerOption("logging", "log_level", _level),
    FlowerOption("log_file_prefix", notice=_LOGS),
    FlowerOption("log_file_max_size", notice=_LOGS),
    FlowerOption("log_file_num_backups", notice=_LOGS),
    FlowerOption("log_to_stderr", notice=_LOGS, switch=True),
    FlowerOption("log_rotate_mode", notice=_LOGS),
    FlowerOption("log_rotate_when", notice=_LOGS),
    FlowerOption("log_rotate_interval", notice=_LOGS),
)
#: Variables of Flower's that are no options.
VARIABLES: Final = (
    FlowerOption("unauthenticated_api", "unauthenticated_api", truth),
    FlowerOption("oauth2_okta_base_url", "oidc_issuer", _site),
    FlowerOption("github_oauth_domain", "oidc_issuer", _site),
    FlowerOption("gitlab_oauth_domain", "oidc_issuer", _site),
    # Flower asks for reporters unless told otherwise; with every group, its guests could sign in.
    FlowerOption("gitlab_auth_allowed_groups", "allowed_groups", _list, also={"gitlab_min_access_level": 20}),
    FlowerOption("gitlab_min_access_level", "gitlab_min_access_level"),
    FlowerOption("data_dir", notice="--store and --data-dir say where things lie"),
)
BY_NAME: Final[Mapping[str, FlowerOption]] = {option.name: option for option in FLOWER_OPTIONS}
#: What the names of Flower's variables begin with, and how like one of them another is that is taken for a slip.
PREFIX: Final = "FLOWER_"
NEAR: Final = 0.75
#: What Kubernetes gives to pods beside a service named flower: FLOWER_PORT=tcp://…, FLOWER_SERVICE_HOST, ...
_KUBERNETES: Final = re.compile(r"FLOWER_(SERVICE_.*|PORT_\d+_.*)")


def from_environment(environ: Mapping[str, str], wrong: list[str] | None = None) -> list[Found]:
    """What the environment sets.

    A variable that Flower does not know is an error where it is nearly one of Flower's; others may be somebody else's
    (FLOWER_PASSWORD, from which a script makes a flag), have no effect, and that is said. Errors are raised as
    `SettingsError`, or added to `wrong`.
    """
    known = {option.env: option for option in (*FLOWER_OPTIONS, *VARIABLES)}
    found = []
    for name, value in environ.items():
        if not name.startswith(PREFIX) or _KUBERNETES.fullmatch(name) or value.startswith("tcp://"):
            continue
        close = difflib.get_close_matches(name[len(PREFIX) :], [one[len(PREFIX) :] for one in known], 1, NEAR)
        if name not in known and close:
            amiss(f"{name} is none of Flower's variables; did you mean {PREFIX}{close[0]}?", wrong)
            continue
        foreign = FlowerOption(name, notice="it is none of Flower's variables")
        found.append(Found(known.get(name, foreign), value, name))
    return found


def amiss(message: str, wrong: list[str] | None) -> None:
    """Raise a `SettingsError`, or keep its message among others."""
    if wrong is None:
        raise SettingsError(message)
    wrong.append(message)


def named(name: str, value: Any, origin: str) -> Found:
    """An option by its name; raises `SettingsError` for one that Flower does not have."""
    option = BY_NAME.get(name)
    if option is None:
        raise SettingsError(f"{origin}: {name} is none of Flower's options{suggestion(name, BY_NAME)}")
    return Found(option, value, origin)


def suggestion(name: str, known: Mapping[str, object]) -> str:
    """`; did you mean …?` where something known is close."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def translate(found: Sequence[Found], wrong: list[str] | None = None) -> Translation:
    """Everything that was set in Umbel's terms, the later of the same name over the earlier; `wrong` as above."""
    result = Translation()
    latest = {item.option.name: item for item in found}
    targets = {item.option.target for item in latest.values()}
    for item in latest.values():
        option = item.option
        if _is_unset(item) or option.name == "conf":
            continue
        if option.fate is Fate.TRANSLATED:
            try:
                value = _converted(item)
            except SettingsError as error:
                amiss(str(error), wrong)
                continue
            result.values[option.target] = (value, item.origin)
            shown = "(not shown)" if option.secret else value
            result.lines.append(f"{item.origin}: --{option.target.replace('_', '-')} {shown}")
            for target, implied in option.also.items():
                if value and target not in targets:
                    result.values[target] = (implied, item.origin)
                    result.lines.append(f"{item.origin}: --{target.replace('_', '-')} {implied}, as Flower has it")
        elif option.fate is Fate.REFUSED:
            result.refusals.append(f"{item.origin}: Flower's {option.name} cannot be taken over. {option.remedy}")
            result.lines.append(f"{item.origin}: refused. {option.remedy}")
        else:
            result.notices.append(f"{item.origin} has no effect: {option.notice}")
            result.lines.append(f"{item.origin}: no effect; {option.notice}")
    return result


def _is_unset(item: Found) -> bool:
    """Whether the value is what Flower has without it, so that there is nothing to take over or refuse."""
    return item.value is None or (item.option.fate is Fate.REFUSED and item.value in ("", [], ()))


def _converted(item: Found) -> Any:
    try:
        return item.option.convert(item.value)
    except (ValueError, TypeError) as error:
        shown = "the value" if item.option.secret else repr(item.value)
        raise SettingsError(f"{item.origin}: {shown} cannot be used: {error}") from error
