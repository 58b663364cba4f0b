"""The metrics page in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from umbel.metrics import names
from umbel.metrics.names import Snapshot
from umbel.metrics.prometheus_tasks import families

#: Workers that have series of their own; the others are summed as `OTHER`.
WORKERS: Final = 200
OTHER: Final = "other"


def render(snapshot: Snapshot) -> tuple[bytes, str]:
    """The page and its content type; `process_*` are the web process's own."""
    return generate_latest(_registry(snapshot)), CONTENT_TYPE_PLAIN_0_0_4


def collect(snapshot: Snapshot) -> Iterable[Metric]:
    """The families of the page."""
    return _registry(snapshot).collect()


def _registry(snapshot: Snapshot) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(snapshot))
    ProcessCollector(registry=registry)
    return registry


class _Families(Collector):
    """A snapshot as Prometheus' families, in the order of the table of names."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        made = _samples(self._snapshot)
        for name, (kind, text) in names.HELP.items():
            labels, samples = made.get(name) or ((), {(): self._snapshot.sizes.get(name, 0.0)})
            yield _family(name, kind, text, labels, samples)
        yield from families(self._snapshot.measured)


_Samples = tuple[tuple[str, ...], Mapping[tuple[str, ...], float]]


def _family(name: str, kind: str, text: str, labels: Sequence[str], samples: Mapping[tuple[str, ...], float]) -> Metric:
    family: CounterMetricFamily | GaugeMetricFamily
    if kind == "counter":
        family = CounterMetricFamily(name, text, labels=labels)
    else:
        family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples.items():
        family.add_metric(values, value)
    return family


def _samples(snapshot: Snapshot) -> dict[str, _Samples]:
    """Label names and samples of every metric."""

    def single(value: float) -> _Samples:
        return (), {(): value}

    online = [(name, float(lives)) for name, lives, _running in snapshot.workers]
    running = [(name, float(tasks)) for name, _lives, tasks in snapshot.workers]
    missed = sorted(snapshot.missed_estimate.items(), key=lambda item: (-item[1], item[0]))
    return {
        names.RECEIVED: single(snapshot.received),
        names.STORED: single(snapshot.stored),
        names.DISCARDED: (
            ("reason", "event_class"),
            {(reason.value, class_.value): count for (reason, class_), count in snapshot.discarded.items()},
        ),
        names.MISSED: (("worker",), dict(_bounded(missed))),
        names.LAG: single(snapshot.lag_seconds),
        names.SPOOL: single(snapshot.spool_bytes),
        names.SPOOL_LIMIT: single(snapshot.spool_limit),
        names.CONNECTED: single(snapshot.connected),
        names.RECONNECTS: single(snapshot.reconnects),
        names.COMMIT: single(snapshot.commit_seconds),
        names.WORKER_ONLINE: (("worker",), dict(_bounded(online))),
        names.WORKER_RUNNING: (("worker",), dict(_bounded(running))),
    }


def _bounded(samples: Sequence[tuple[str, float]]) -> Iterator[tuple[tuple[str, ...], float]]:
    """The first `WORKERS` samples each under its name, the sum of the rest as `OTHER`."""
    for name, value in samples[:WORKERS]:
        yield (name,), float(value)
    rest = samples[WORKERS:]
    if rest:
        yield (OTHER,), float(sum(value for _name, value in rest))
