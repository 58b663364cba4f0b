"""What is sent: one notice for everything that a destination is to be told at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace

from umbel.alerts.machine import Instance
from umbel.alerts.rules import Kind, Rule, Severity
from umbel.model.task import rfc3339

#: Things told one by one of one rule, and characters of what is told of one.
LINES: Final = 20
DETAIL: Final = 300
#: Characters of a notice.
BODY: Final = 12_000


class Notice(Struct):
    """A message to one destination, as the outbox keeps it."""

    #: The destination's name.
    to: str
    title: str
    body: str
    #: A severity, or `recovered`, or `test`.
    kind: str
    #: The names of the rules that it tells of.
    rules: list[str] = []
    #: How often it was tried, when it is to be tried next (UTC seconds), and what became of the latest try.
    tries: int = 0
    next_at: float = 0.0
    error: str = ""
    #: The incident that it opens, adds to or closes, where the destination keeps incidents.
    incident: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """What is to be told of one rule."""

    rule: Rule
    firing: Mapping[str, Instance]
    over: Mapping[str, Instance]
    #: Whether it fires for something even so: its incident is then not over.
    lasts: bool = False
    #: Whether the rule is gone, so that nobody knows whether what it fired for lasts.
    removed: bool = False


def compose(to: str, news: Sequence[News], address: str) -> Notice:
    """The notice; `address` is where people reach the pages, "" where that is not known."""
    firing = [one for one in news if one.firing]
    worst = max((one.rule.severity for one in firing), key=lambda severity: severity.rank, default=None)
    return Notice(
        to,
        _title(news, worst),
        _cut("\n\n".join(_paragraph(one, address) for one in _ordered(news))),
        "recovered" if worst is None else worst.value,
        [one.rule.name for one in news],
    )


def compose_incident(to: str, news: News, address: str) -> Notice:
    """The same of one rule, for a service that keeps an incident open until it is told that it is over."""
    made = compose(to, [news], address)
    kind = news.rule.severity.value if news.firing or news.lasts else "recovered"
    return replace(made, kind=kind, incident=f"umbel {news.rule.name}")


def test_notice(to: str, who: str) -> Notice:
    """What is sent to try a destination."""
    by = f" by {who}" if who else ""
    return Notice(to, "Umbel: a test", f"Sent to {to}{by} from the page of alerts. It worked.", "test")


def _cut(text: str) -> str:
    return text if len(text) <= BODY else f"{text[:BODY]}\n… and more; the page of alerts has all of it"


def _ordered(news: Sequence[News]) -> list[News]:
    return sorted(news, key=lambda one: (not one.firing, -one.rule.severity.rank, one.rule.name))


def _title(news: Sequence[News], worst: Severity | None) -> str:
    names = [one.rule.name for one in _ordered(news) if one.firing or worst is None]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    ended = "no longer watched" if all(one.removed for one in news) else "recovered"
    return f"Umbel: {worst.value if worst else ended}: {shown}"


def _paragraph(one: News, address: str) -> str:
    lines = [f"{one.rule.name} ({one.rule.severity})"]
    if one.removed:
        lines.append("The rule was removed while this lasted; whether it still does is no longer watched.")
    lines += _listed(one, one.firing, "since", address)
    if one.firing and one.rule.text:
        lines.append(one.rule.text)
    lines += _listed(one, one.over, "removed;" if one.removed else "over;", address)
    return "\n".join(lines)


def _listed(news: News, instances: Mapping[str, Instance], word: str, address: str) -> list[str]:
    lines = []
    for key, instance in list(instances.items())[:LINES]:
        # A fingerprint tells people nothing.
        named = key and news.rule.on is not Kind.EXCEPTION
        what = f"{key}: {instance.detail}" if named else instance.detail
        began = f"was {rfc3339(instance.since)} to {rfc3339(instance.over_at)}" if instance.over_at else ""
        lines.append(f"- {what[:DETAIL]}, {word} {began or rfc3339(instance.since)}")
        if address and instance.path and not instance.over_at:
            lines.append(f"  {link(address, instance.path, instance.query)}")
    if len(instances) > LINES:
        lines.append(f"- and {len(instances) - LINES} more")
    return lines


def link(address: str, path: str, query: str) -> str:
    """The address of a page that shows it."""
    return f"{address.rstrip('/')}{path}" + (f"?{urlencode({'q': query})}" if query else "")
