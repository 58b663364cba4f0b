"""Spans by OTLP over HTTP; where to and how is said by OpenTelemetry's own variables, `OTEL_EXPORTER_OTLP_*`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from umbel import __version__
from umbel.logs import Limited
from umbel.model.spans import Kind, Span
from umbel.telemetry.base import Delivery

log = logging.getLogger(__name__)
limited = Limited(log)

#: It tells each failure in several lines; we say it in one.
logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

SCOPE: Final = InstrumentationScope("umbel", __version__)
_KINDS: Final = {Kind.INTERNAL: SpanKind.INTERNAL, Kind.SERVER: SpanKind.SERVER, Kind.CONSUMER: SpanKind.CONSUMER}
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
#: Answers after which the same may be taken later.
_LATER: Final = frozenset({408, 425, 429})


def resource(service: str = "") -> Resource:
    """Who tells: `service`, or else what `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say, or else umbel."""
    found = Resource.create({SERVICE_NAME: service} if service else {})
    if str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
        service = "umbel"
    own = {SERVICE_NAME: service or str(found.attributes[SERVICE_NAME]), SERVICE_VERSION: __version__}
    return found.merge(Resource(own))


class OtlpSpans:
    """`umbel.telemetry.base.Sink`; `timeout` in seconds, as `OTEL_EXPORTER_OTLP_TIMEOUT` says unless given."""

    def __init__(self, service: str = "", timeout: float | None = None) -> None:
        self._resource = resource(service)
        self._answer = 0
        session = requests.Session()
        session.hooks["response"].append(self._note)
        self._exporter = OTLPSpanExporter(session=session, timeout=timeout)

    def _note(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self._answer = response.status_code

    def send(self, spans: Sequence[Span]) -> Delivery:
        self._answer = 0
        if self._exporter.export([self._made(span) for span in spans]) is SpanExportResult.SUCCESS:
            return Delivery.TAKEN
        refused = 400 <= self._answer < 500 and self._answer not in _LATER
        why = f"it answers {self._answer}" if self._answer else "it does not answer"
        limited.warning("otlp", f"the OTLP receiver took no spans: {why}")
        return Delivery.REFUSED if refused else Delivery.AWAY

    def close(self) -> None:
        self._exporter.shutdown()

    def _made(self, span: Span) -> ReadableSpan:
        context = _context(span.trace_id, span.span_id)
        return ReadableSpan(
            name=span.name,
            context=context,
            parent=_context(span.trace_id, span.parent_id) if span.parent_id else None,
            resource=self._resource,
            attributes=dict(span.attributes),
            events=[Event(one.name, dict(one.attributes), nanoseconds(one.at)) for one in span.happenings],
            links=[Link(_context(span.trace_id, one)) for one in span.links],
            kind=_KINDS[span.kind],
            status=Status(StatusCode.UNSET) if span.failure is None else Status(StatusCode.ERROR, span.failure),
            start_time=nanoseconds(span.begin),
            end_time=nanoseconds(max(span.begin, span.end)),
            instrumentation_scope=SCOPE,
        )


def _context(trace_id: bytes, span_id: bytes) -> SpanContext:
    return SpanContext(int.from_bytes(trace_id), int.from_bytes(span_id), is_remote=False, trace_flags=_SAMPLED)


def nanoseconds(seconds: float) -> int:
    """UTC seconds as OTLP has them, within what it can hold."""
    return min(max(0, round(seconds * 1e9)), (1 << 63) - 1) if seconds == seconds else 0  # noqa: PLR0124 - NaN
