"""What /metrics tells, by OTLP over HTTP as well: the same families, names, labels and values."""

from __future__ import annotations

import logging
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

from umbel.errors import SettingsError, UmbelError
from umbel.logs import Limited
from umbel.telemetry.otlp import SCOPE, nanoseconds, resource

log = logging.getLogger(__name__)
limited = Limited(log)

#: Seconds between two deliveries, unless `OTEL_METRIC_EXPORT_INTERVAL` (milliseconds) says otherwise.
INTERVAL: Final = 60.0


def interval() -> float:
    """Seconds between two deliveries."""
    text = os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "").strip()
    if not text:
        return INTERVAL
    try:
        milliseconds = int(text)
    except ValueError:
        milliseconds = 0
    if milliseconds <= 0:
        raise SettingsError(f"OTEL_METRIC_EXPORT_INTERVAL: {text!r} cannot be used: milliseconds over 0 are expected")
    return milliseconds / 1000


class OtlpMetrics:
    """Sends what `families` gives at each interval, on a thread of its own, until `close`."""

    def __init__(self, families: Callable[[], Iterable[Family]], now: Callable[[], float]) -> None:
        self._families = families
        self._now = now
        self._interval = interval()
        self._resource = resource()
        self._exporter = OTLPMetricExporter()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp-metrics", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closing.wait(self._interval):
            try:
                self._send()
            except UmbelError as error:
                limited.warning("otlp-metrics", f"the metrics cannot be told just now: {error}")
            except Exception as error:  # noqa: BLE001 - a family that cannot be sent must not end the thread
                limited.warning("otlp-metrics", f"the metrics could not be sent: {error!r}")

    def _send(self) -> None:
        at = nanoseconds(self._now())
        made = [metric for family in self._families() if (metric := converted(family, at)) is not None]
        data = MetricsData([ResourceMetrics(self._resource, [ScopeMetrics(SCOPE, made, "")], "")])
        if self._exporter.export(data) is not MetricExportResult.SUCCESS:
            limited.warning("otlp-metrics", "the OTLP receiver took no metrics; the next ones stand for them")

    def close(self) -> None:
        """End it; what was counted since the last delivery stands in the store and is told by the next."""
        self._closing.set()
        self._thread.join(timeout=1.0)
        self._exporter.shutdown()


def converted(family: Family, at: int) -> Metric | None:
    """A family of Prometheus as OTLP's metric at the moment `at` (nanoseconds); None for one without samples."""
    if not family.samples:
        return None
    name = f"{family.name}_total" if family.type == "counter" else family.name
    data: Sum | Gauge | Histogram
    if family.type == "counter":
        data = Sum(_points(family.samples, name, at), AggregationTemporality.CUMULATIVE, is_monotonic=True)
    elif family.type == "histogram":
        data = Histogram(_histograms(family.samples, at), AggregationTemporality.CUMULATIVE)
    else:
        data = Gauge(_points(family.samples, name, at))
    return Metric(name, family.documentation, "", data)


# The beginning of sums is 0, which is "not known": they outlive processes, as the store does.


def _points(samples: Iterable[Sample], name: str, at: int) -> list[NumberDataPoint]:
    return [NumberDataPoint(dict(one.labels), 0, at, float(one.value)) for one in samples if one.name == name]


def _histograms(samples: Sequence[Sample], at: int) -> list[HistogramDataPoint]:
    """Prometheus' buckets count everything up to their bound, OTLP's only what is in them."""
    series: dict[tuple[tuple[str, str], ...], list[Sample]] = defaultdict(list)
    for sample in samples:
        series[tuple(sorted((key, value) for key, value in sample.labels.items() if key != "le"))].append(sample)
    made = []
    for labels, parts in series.items():
        buckets = sorted((float(one.labels["le"]), int(one.value)) for one in parts if one.name.endswith("_bucket"))
        seconds = next((one.value for one in parts if one.name.endswith("_sum")), 0.0)
        upto = [count for _, count in buckets]
        counts = [count - before for count, before in zip(upto, [0, *upto], strict=False)]
        bounds = [bound for bound, _ in buckets[:-1]]
        total = upto[-1] if upto else 0
        unknown: Any = None  # the least and the greatest value: left out
        made.append(HistogramDataPoint(dict(labels), 0, at, total, seconds, counts, bounds, unknown, unknown))
    return made
