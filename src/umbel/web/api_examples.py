"""Examples of the API's bodies and answers by the name of their schema; a test holds each against its schema."""

from __future__ import annotations

from typing import Any, Final

from umbel.web.api_answers import ANSWERS

_ID: Final = "2e3f0a4c-6d8e-4f4b-9a44-0c6f3c1f5d10"
_NEW: Final = "f1b2c3d4-0000-4000-8000-000000000001"
_AT: Final = "2026-11-23T00:41:07.250000Z"
_WORKER: Final = "w1@shop-7"

_DEPLOY: Final = {"at": _AT, "version": "2.4.1", "service": "shop-workers", "text": None}
_TASK: Final = {
    "id": _ID,
    "name": "shop.payments.charge",
    "state": "FAILURE",
    "worker": _WORKER,
    "queue": "payments",
    "args": "(42,)",
    "kwargs": "{'currency': 'EUR'}",
    "result": None,
    "exception": "Declined('card 42')",
    "traceback": "Traceback (most recent call last): …",
    "sent_at": _AT,
    "received_at": _AT,
    "started_at": _AT,
    "finished_at": "2026-11-23T00:41:08.000000Z",
    "end_learned": False,
    "wait_seconds": 0.02,
    "run_seconds": 0.73,
    "retries": 0,
    "attempts": [
        {
            "worker": _WORKER,
            "pid": 7,
            "state": "FAILURE",
            "received_at": _AT,
            "started_at": _AT,
            "finished_at": "2026-11-23T00:41:08.000000Z",
            "retries": 0,
            "exception": "Declined('card 42')",
            "traceback": "Traceback (most recent call last): …",
        }
    ],
    "root_id": _ID,
    "parent_id": None,
    "eta": None,
    "expires": None,
}
_RUN: Final = {
    "id": _NEW,
    "task_id": _ID,
    "source": "result",
    "exact": True,
    "name": "shop.payments.charge",
    "args": [42],
    "kwargs": {"currency": "EUR"},
    "exchange": "",
    "routing_key": "payments",
    "priority": None,
    "time_limit": None,
    "soft_time_limit": None,
    "expires_in": None,
    "notes": [],
    "misses": [],
}
_ERROR: Final = {
    "key": "9f2c41d07a3be856",
    "type": "Declined",
    "message": "Declined('card <n>')",
    "place": "shop/payments.py in charge",
    "state": "open",
    "new": True,
    "count": 12,
    "estimated": False,
    "names": {"shop.payments.charge": 12},
    "first_at": _AT,
    "last_at": _AT,
    "latest_id": _ID,
    "resolved_at": None,
    "resolved_by": None,
    "search": "state:FAILURE exception:Declined name:shop.payments.charge",
}

_ANSWERS: Final[dict[str, dict[str, Any]]] = {
    "ErrorBody": {"error": {"message": "there is no such state at character 7", "position": 6}},
    "TaskOut": _TASK,
    "TasksOut": {"items": [_TASK], "next": None},
    "CountOut": {"count": 10_000, "capped": True},
    "ErrorsOut": {"items": [_ERROR], "failed": 12, "looked_at": 12, "complete": True},
    "ErrorStateOut": {"key": "9f2c41d07a3be856", "state": "resolved"},
    "ControlOut": {
        "command": "revoke",
        "outcomes": {"ok": 1},
        "replies": [{"worker": _WORKER, "outcome": "ok", "value": {"ok": "revoked"}, "error": None, "seconds": 0.004}],
    },
    "RunOut": _RUN,
    "StartedOut": {"id": _NEW},
    "IngestOut": {
        "received": 120,
        "stored": 117,
        "in_flight": 1,
        "discarded": {"spool_full": 2},
        "missed_estimate": 0,
        "lag_seconds": 0.2,
        "rate": 12.5,
        "connected": True,
        "spool": {"bytes": 4_096, "limit": 1_073_741_824},
    },
    "DeployOut": _DEPLOY,
    "DeploysOut": {"items": [_DEPLOY]},
    "VerdictsOut": {"items": [{"task_id": _ID, "at": _AT, "outcome": "held", "evidence": "w1 has it: active."}]},
}
_BODIES: Final[dict[str, dict[str, Any]]] = {
    "AlertRuleIn": {"name": "mail", "on": "search", "search": "state:FAILURE name:mail.*", "over": 10, "within": "10m"},
    "SilenceIn": {"reason": "a deploy", "seconds": 600, "rule": "failing"},
    "Deploy": {"version": "2.4.1", "service": "shop-workers"},
    "RunAgain": {"dry_run": True},
    "StartTask": {"name": "shop.mail.send", "kwargs": {"user": 42}, "queue": "mail"},
    "RunManyAgain": {"q": "state:FAILURE name:shop.mail.*", "limit": 100, "dry_run": True},
    "Peek": {"queue": "mail", "limit": 5},
    "Purge": {"queue": "mail"},
    "PutBack": {"queue": "mail.dead"},
    "Look": {"older_than": 3_600},
    "Revoke": {"task_ids": [_ID]},
    "Terminate": {"task_ids": [_ID], "destination": [_WORKER]},
    "RevokeByStampedHeaders": {"headers": {"customer": ["42"]}},
    "RateLimit": {"task_name": "shop.mail.send", "rate_limit": "10/s"},
    "TimeLimit": {"task_name": "shop.mail.send", "soft": 30, "hard": 60},
    "PoolGrow": {"destination": [_WORKER], "n": 2},
    "PoolShrink": {"destination": [_WORKER]},
    "PoolRestart": {"destination": [_WORKER]},
    "Autoscale": {"destination": [_WORKER], "max": 8, "min": 2},
    "AddConsumer": {"queue": "mail", "destination": [_WORKER]},
    "CancelConsumer": {"queue": "mail"},
    "Shutdown": {"destination": [_WORKER]},
    "QueryTask": {"ids": [_ID]},
}

#: Commands that take nothing but the workers that they are for.
_ASKED: Final = (
    *("Active", "ActiveQueues", "Clock", "Conf", "DisableEvents", "EnableEvents", "Ping", "Registered", "Report"),
    *("Reserved", "Revoked", "Scheduled", "Stats"),
)

#: By the name of the schema.
EXAMPLES: Final = {**ANSWERS, **_ANSWERS, **_BODIES, **{name: {"destination": [_WORKER]} for name in _ASKED}}
