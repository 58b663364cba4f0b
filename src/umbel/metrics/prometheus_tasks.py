"""The families that tell of tasks, queues and pools: Flower's by its names and labels, and Umbel's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from umbel.metrics import names
from umbel.metrics.names import Measured
from umbel.model.latency import value
from umbel.model.meter import Histogram

#: Series of one label (queue, worker) that are told apart, and pairs of task and worker that hold prefetched tasks; the
#: store bounds what is counted by pairs.
SERIES: Final = 200
PREFETCHED: Final = 400
OTHER: Final = "other"

#: Labels of each family, in the order of its samples' values.
LABELS: Final[Mapping[str, Sequence[str]]] = {
    names.TASK_EVENTS: ("task", "type", "worker"),
    names.TASK_RUNTIME: ("task", "worker"),
    names.TASK_PREFETCH: ("task", "worker"),
    names.WORKER_PREFETCHED: ("task", "worker"),
    names.TASK_WAIT: ("queue",),
    names.TASK_FAILURES: ("task", "exception"),
    names.QUEUE_READY: ("queue",),
    names.QUEUE_UNACKED: ("queue",),
    names.QUEUE_CONSUMERS: ("queue",),
    names.CONCURRENCY: ("worker",),
    names.ALERTS_FIRING: ("rule", "severity"),
    names.NOTICES_SENT: ("destination",),
    names.NOTICES_FAILED: ("destination",),
}


def families(measured: Measured) -> Iterator[Metric]:
    """Every family of `LABELS`, in that order; one without samples is there all the same."""
    meters = measured.meters
    counted: dict[tuple[str, ...], float] = {
        (task, kind, worker): float(count)
        for (task, worker), kinds in meters.events.items()
        for kind, count in kinds.items()
    }
    yield _counter(names.TASK_EVENTS, counted)
    yield _histogram(names.TASK_RUNTIME, meters.runs, measured.buckets)
    yield _gauge(names.TASK_PREFETCH, meters.prefetch)
    # A pair that holds nothing now is told as 0, not left out: a graph of it would have holes.
    yield _gauge(names.WORKER_PREFETCHED, _most({**dict.fromkeys(meters.prefetch, 0), **measured.prefetched}))
    waits = {(queue,): histogram for queue, histogram in meters.waits.items()}
    yield _histogram(names.TASK_WAIT, waits, measured.buckets)
    yield _counter(names.TASK_FAILURES, {key: float(count) for key, count in meters.failures.items()})
    for name, number in ((names.QUEUE_READY, 1), (names.QUEUE_UNACKED, 2), (names.QUEUE_CONSUMERS, 3)):
        told = [(queue[0], queue[number]) for queue in measured.queues]
        yield _gauge(name, _bounded([(str(queue), float(count)) for queue, count in told if count is not None]))
    yield _gauge(names.CONCURRENCY, _bounded([(name, float(n)) for name, n in sorted(measured.concurrency.items())]))
    yield _gauge(names.ALERTS_FIRING, {key: float(count) for key, count in measured.firing.items()})
    for name, number in ((names.NOTICES_SENT, 0), (names.NOTICES_FAILED, 1)):
        yield _counter(name, {(place,): float(counts[number]) for place, counts in measured.notices.items()})


# The keys of samples are tuples of texts, as many as the family has labels.


def _counter(name: str, samples: Mapping[Any, float]) -> Metric:
    family = CounterMetricFamily(name, names.TASKS_HELP[name][1], labels=LABELS[name])
    for labels, number in samples.items():
        family.add_metric(labels, number)
    return family


def _gauge(name: str, samples: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(name, names.TASKS_HELP[name][1], labels=LABELS[name])
    for labels, number in samples.items():
        family.add_metric(labels, number)
    return family


def _histogram(name: str, samples: Mapping[Any, Histogram], bounds: Sequence[float]) -> Metric:
    family = HistogramMetricFamily(name, names.TASKS_HELP[name][1], labels=LABELS[name])
    for labels, histogram in samples.items():
        family.add_metric(labels, _cumulated(histogram, bounds), histogram.seconds)
    return family


def _cumulated(histogram: Histogram, bounds: Sequence[float]) -> list[tuple[str, float]]:
    """Counts up to each bound; a latency bucket belongs where its own value (within 2 %) does."""
    values = sorted((value(number), count) for number, count in histogram.buckets.items())
    found: list[tuple[str, float]] = []
    at = total = 0
    for bound in bounds:
        while at < len(values) and values[at][0] <= bound:
            total += values[at][1]
            at += 1
        found.append((str(float(bound)), float(total)))
    return [*found, ("+Inf", float(histogram.count))]


def _most(prefetched: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], float]:
    """The pairs with the most tasks each under its names, the sum of the rest as `OTHER`."""
    ordered = sorted(prefetched.items(), key=lambda item: (-item[1], item[0]))
    found = {pair: float(count) for pair, count in ordered[:PREFETCHED]}
    if len(ordered) > PREFETCHED:
        found[OTHER, OTHER] = float(sum(count for _, count in ordered[PREFETCHED:]))
    return found


def _bounded(samples: Sequence[tuple[str, float]]) -> dict[tuple[str, ...], float]:
    """The first `SERIES` samples each under its name, the sum of the rest as `OTHER`."""
    found = {(name,): number for name, number in samples[:SERIES]}
    if len(samples) > SERIES:
        found[OTHER,] = sum(number for _, number in samples[SERIES:])
    return found  # type: ignore[return-value] # a tuple of one text is a tuple of texts
