"""What is derived from the merged columns of a task, in SQL: the same as `model/task.py` derives from its record.

A fact is an aggregate over the rows of an id; a lexicographic maximum needs only the fields up to the one that is
asked for. Expressions are over facts.
"""

from __future__ import annotations

from typing import Final

from umbel.model.query import Field
from umbel.stores.clickhouse.rows import FAILED_RANK, RETRIED_RANK, REVOKED_RANK, SUCCEEDED_RANK

FACTS: Final = {
    "f_name": "max((description.rank, description.at, description.name)).3",
    "f_args": "max((description.rank, description.at, description.name, description.args)).4",
    "f_described": "max(description)",
    "f_top": "max(top)",
    "f_custom": "max((custom.at, custom.worker))",
    "f_sent": "max(sent)",
    "f_sent_at": "max(sent.at)",
    "f_first": "min(received_first)",
    "f_received": "max(received)",
    "f_started": "max(started)",
    "f_result": "max((succeeded.at, succeeded.worker, succeeded.pid, succeeded.result)).4",
    "f_succeeded": "max(succeeded)",
    "f_failed": "max((failed.at, failed.worker, failed.pid, failed.exception)).4",
    "f_failed_type": "max((failed.at, failed.worker, failed.pid, failed.exception, failed.exception_type)).5",
    "f_failed_traceback": "max(failed).6",
    "f_retried": "max((retried.at, retried.worker, retried.pid, retried.exception)).4",
    "f_retried_traceback": "max(retried).5",
    "f_retries": "max(retries)",
    "f_runs": "groupUniqArrayArray(runs)",
}

#: Of sent and received, the earlier that is no later than the start; infinity if neither is.
_READY: Final = "arrayMin(arrayPushBack(arrayFilter(at -> at >= 0 AND at <= f_started, [f_sent_at, f_received]), inf))"
WAIT: Final = (
    "if(f_started < 0 OR (f_sent_at < 0 AND f_received < 0), NULL, "
    f"greatest(f_started - greatest({_READY}, f_described.10), 0.))"
)
RUN: Final = (
    f"multiIf(f_top.3 = {SUCCEEDED_RANK} AND f_succeeded.5 >= 0, f_succeeded.5, "
    f"f_started >= 0 AND f_started <= f_top.2 AND "
    f"f_top.3 IN ({SUCCEEDED_RANK}, {FAILED_RANK}, {REVOKED_RANK}, {RETRIED_RANK}), f_top.2 - f_started, NULL)"
)
_QUEUE: Final = (
    "multiIf(f_sent.3 != '', f_sent.3, startsWith(f_sent.4, 'celery_delayed_'), "
    r"replaceRegexpOne(f_sent.5, '^(?:[01]\\.){28}', ''), '')"
)

#: A field's value, NULL where a number is absent.
EXPRESSIONS: Final = {
    Field.ID: "id",
    Field.NAME: "f_name",
    Field.WORKER: "if(f_top.1 > 0, f_top.4, f_custom.2)",
    Field.QUEUE: _QUEUE,
    Field.ARGS: "f_args",
    Field.KWARGS: "f_described.5",
    Field.RESULT: "f_result",
    Field.EXCEPTION: f"multiIf(f_top.3 = {FAILED_RANK}, f_failed, f_top.3 = {RETRIED_RANK}, f_retried, '')",
    Field.TRACEBACK: (
        f"multiIf(f_top.3 = {FAILED_RANK}, f_failed_traceback, f_top.3 = {RETRIED_RANK}, f_retried_traceback, '')"
    ),
    Field.ROOT: "f_described.6",
    Field.PARENT: "f_described.7",
    Field.RUN: RUN,
    Field.WAIT: WAIT,
    Field.RETRIES: "f_retries",
    Field.SENT: "if(f_sent_at >= 0, f_sent_at, NULL)",
    Field.RECEIVED: "if(f_received >= 0, f_first, NULL)",
    Field.STARTED: "if(f_started >= 0, f_started, NULL)",
    Field.FINISHED: "if(f_top.1 = 2, f_top.2, NULL)",
}


def facts_in(sql: str) -> str:
    """The columns of the facts that some SQL speaks of."""
    # The longest first, so that one name is not found within another.
    found = []
    for name in sorted(FACTS, key=len, reverse=True):
        if name in sql:
            found.append(f"{FACTS[name]} AS {name}")
            sql = sql.replace(name, "")
    return ", ".join(["id", "min(n) AS n0", *found])
