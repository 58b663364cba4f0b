"""Answers of the API as the demo gave them, cut to one of each, and those that it has none of; by their schema."""

from __future__ import annotations

from typing import Any, Final

ANSWERS: Final[dict[str, dict[str, Any]]] = {
    "AlertRuleNameOut": {"name": "slow shop"},
    "AlertRuleOut": {
        "name": "slow shop",
        "on": "latency",
        "severity": "warning",
        "holds_where": "p95 of run of a task of shop.* over 5s in 10m (of 20 at least), for 5m",
        "measured": None,
        "problem": None,
        "destinations": ["default"],
        "made_by": "somebody",
        "made_at": "2026-11-30T16:02:50.090273Z",
    },
    "AlertTrialOut": {
        "holds_where": "p95 of run of a task of shop.* over 5s in 10m (of 20 at least), for 5m",
        "measured": "3.79 s, shop.images.resize",
        "problem": None,
        "found": {},
        "destinations": ["default"],
        "would_have_fired": 0,
        "looked_since": "2026-11-29T16:02:49.794353Z",
    },
    "AlertsOut": {
        "items": [
            {
                "rule": "stock sync fails",
                "severity": "warning",
                "subject": "shop.stock.sync",
                "state": "firing",
                "detail": "20.0 % fail (3 of 15 in 5m)",
                "since": "2026-11-30T16:02:35.264738Z",
                "fired_at": "2026-11-30T16:02:35.264738Z",
                "told_at": "2026-11-30T16:02:35.264738Z",
                "silenced": False,
                "query": 'state:FAILURE finished:>-5m name:="shop.stock.sync"',
            }
        ],
        "rules": [
            {
                "name": "stock sync fails",
                "on": "failures",
                "severity": "warning",
                "holds_where": "more than 10 % fail of a task of shop.stock.sync in 5m (of 5 at least)",
                "measured": "20.0 %, shop.stock.sync",
                "problem": None,
                "destinations": ["default"],
                "made_by": None,
                "made_at": None,
            }
        ],
        "silences": [
            {
                "id": "112778efed72",
                "rule": "slow*",
                "subject": "*",
                "reason": "a deploy",
                "who": None,
                "until": "2026-11-30T16:12:50.169176Z",
            }
        ],
        "judged_at": "2026-11-30T16:02:48.406447Z",
        "problem": None,
    },
    "AuditsOut": {
        "items": [
            {
                "id": 5,
                "at": "2026-11-30T16:02:59.961334Z",
                "who": None,
                "origin": "127.0.0.1",
                "via": "api",
                "action": "rate_limit",
                "arguments": {"task_name": "shop.search.index_chunk", "rate_limit": "10/s"},
                "destination": [],
                "ended_at": "2026-11-30T16:03:00.096875Z",
                "times": 1,
                "replies": [
                    {"worker": "media-1@shop-7", "outcome": "ok", "text": '{"ok":"new rate limit set successfully"}'}
                ],
            }
        ]
    },
    "ChangesOut": {
        "items": [
            {
                "kind": "failing",
                "subject": "shop.stock.sync",
                "detail": "17 % fail, 3 % the day before",
                "search": "state:FAILURE name:=shop.stock.sync",
            }
        ],
        "compared": True,
    },
    "DeadLettersOut": {"items": [{"name": "mail.dead", "ready": 3, "sources": ["mail"]}]},
    "LedgersOut": {
        "items": [
            {
                "reason": "spool_full",
                "event_class": "heartbeat",
                "first_at": "2026-11-30T16:02:50.307665Z",
                "last_at": "2026-11-30T16:02:50.307665Z",
                "count": 2,
                "estimated": False,
                "worker": None,
                "detail": None,
            }
        ]
    },
    "MessagesOut": {
        "items": [
            {
                "headers": {
                    "lang": "py",
                    "task": "shop.payments.charge",
                    "id": "1e5a1d4c-b383-46ac-a158-5120dddd6ec9",
                    "retries": 0,
                    "root_id": "4529ea79-3659-43eb-9234-28e5729855f8",
                    "parent_id": "1debe614-690e-400b-b5f3-80e88306be61",
                    "argsrepr": "({'number': 11151, 'customer': 'Tom Baker', 'email': "
                    "'customer9@mail.example', 'lines': [{…",
                    "kwargsrepr": "{}",
                },
                "body": "W1t7Im51bWJlciI6IDExMTUxLCAiY3VzdG9tZXIiOiAiVG9tIEJha2VyIiwgImVtYWlsIjogImN1c3RvbWVyOUBtYW…",
                "size": 543,
                "content_type": "application/json",
                "exchange": "",
                "routing_key": "default",
                "priority": 0,
                "redelivered": False,
            }
        ]
    },
    "MovedOut": {"moved": {"mail": 3}, "left": 0, "why": None},
    "NamesOut": {
        "items": [
            {
                "name": "shop.orders.place",
                "ended": 220,
                "rate": 0.061,
                "failed": 0,
                "retried": 0,
                "failure_share": 0.0,
                "wait": {"p50": 10.94, "p95": 16.194, "p99": 16.842},
                "run": {"p50": 0.069, "p95": 0.13, "p99": 0.152},
            }
        ],
        "more": False,
    },
    "PlacesOut": {
        "items": [
            {"kind": "name", "title": "shop.mail.send_confirmation", "href": "/names/shop.mail.send_confirmation"}
        ]
    },
    "PurgedOut": {"purged": 12},
    "QuarantineOut": {
        "items": [
            {
                "at": "2026-11-30T16:02:50.307665Z",
                "reason": "malformed",
                "error": "no JSON: unexpected end of data",
                "content_type": "application/json",
                "text": '{"type": "task-rec',
                "raw_base64": "eyJ0eXBlIjogInRhc2stcmVj",
            }
        ]
    },
    "QueuesOut": {
        "items": [
            {
                "name": "default",
                "ready": 172,
                "unacked": 3,
                "consumers": None,
                "priorities": [{"priority": 0, "ready": 172}],
            }
        ]
    },
    "ReadinessOut": {
        "status": "ok",
        "checks": {
            "store": {"status": "ok", "detail": "975 tasks"},
            "collector": {"status": "ok", "detail": "runs as pid 351"},
            "broker": {"status": "ok", "detail": "connected for 69 s"},
            "spool": {"status": "ok", "detail": "the spool is 0% full"},
        },
    },
    "SchedulesOut": {
        "items": [
            {
                "name": "close the till",
                "task": "shop.reports.close_till",
                "source": "app",
                "schedule": "* * * * *",
                "enabled": True,
                "state": "unseen",
                "last_run_at": None,
                "last_task_id": None,
                "next_run_at": "2026-11-30T16:03:00.000000Z",
                "late_seconds": None,
                "missed": [],
                "judged": 1,
            }
        ],
        "sources": ["beat_schedule of umbel.demo.shop"],
        "problems": [],
    },
    "SilenceOut": {
        "id": "112778efed72",
        "rule": "slow*",
        "subject": "*",
        "reason": "a deploy",
        "who": None,
        "until": "2026-11-30T16:12:50.169176Z",
    },
    "SuggestOut": {"start": 6, "end": 6, "items": [{"text": "PENDING", "kind": "value", "detail": ""}]},
    "WorkersOut": {
        "items": [
            {
                "hostname": "mail-1@shop-7",
                "pid": 312,
                "online": True,
                "active": 0,
                "processed": 105,
                "loadavg": [1.2, 0.9, 0.7],
                "sends_task_events": True,
                "online_at": "2026-11-30T16:02:09.510583Z",
                "offline_at": None,
                "heartbeat_at": "2026-11-30T16:02:53.860764Z",
                "first_seen_at": "2026-11-30T16:02:09.505379Z",
                "seen_at": "2026-11-30T16:02:55.567205Z",
                "software": {"ident": "py-celery", "version": "5.7.0", "system": "Linux"},
            }
        ]
    },
    "WorkflowOut": {
        "root_id": "19610f61-9430-4dfd-b7e2-e35dc1661c2a",
        "started_at": "2026-11-30T16:02:48.469069Z",
        "ended_at": None,
        "count": 2,
        "complete": True,
        "items": [
            {
                "id": "19610f61-9430-4dfd-b7e2-e35dc1661c2a",
                "name": "shop.orders.place",
                "state": "SUCCESS",
                "link": "root",
                "parent_id": None,
                "group_id": None,
                "joins_group_id": None,
                "critical": True,
                "worker": "shop-1@shop-7",
                "sent_at": "2026-11-30T16:02:48.469069Z",
                "received_at": "2026-11-30T16:02:59.777010Z",
                "started_at": "2026-11-30T16:02:59.837170Z",
                "finished_at": "2026-11-30T16:02:59.938225Z",
                "wait_seconds": 11.368,
                "run_seconds": 0.086,
            }
        ],
        "critical_path": [
            {
                "id": "19610f61-9430-4dfd-b7e2-e35dc1661c2a",
                "idle_seconds": 0.0,
                "wait_seconds": 11.368,
                "run_seconds": 0.061,
            }
        ],
        "result_backend": True,
        "results_read": 0,
        "results_wanted": 1,
        "problem": None,
    },
}
