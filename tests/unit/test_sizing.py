"""How large batches become: short commits on a quiet machine, and no more of them than pay on a busy one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from umbel.model.sizing import COMMIT_TARGET, MAX_MESSAGES, MIN_MESSAGES, BatchSize

#: How much more or less of the usual time one commit takes.
WOBBLE = st.lists(st.floats(0.9, 1.1), min_size=40, max_size=80)


@given(st.floats(1e-7, 4e-3), WOBBLE)
def test_full_batches_soon_commit_within_half_a_second_and_use_the_time_there_is(
    cost: float, wobble: list[float]
) -> None:
    """`cost` is seconds a message, all of it our own work."""
    size, took = BatchSize(), []
    for factor in wobble:
        took.append(size.messages * cost * factor)
        size.note(took[-1], took[-1], full=True)
        assert MIN_MESSAGES <= size.messages <= MAX_MESSAGES
    assert max(took[7:]) <= 0.5
    assert size.messages == MAX_MESSAGES or took[-1] >= 0.75 * COMMIT_TARGET


@given(st.floats(1e-6, 4e-4), st.floats(0.001, 0.04), st.floats(5, 20), WOBBLE)
def test_where_the_processors_are_taken_batches_stay_large_enough_for_what_each_commit_costs_anyway(
    cost: float, fixed: float, wait: float, wobble: list[float]
) -> None:
    """A commit works for `fixed` seconds and `cost` a message, and gets one of `wait` seconds to do it."""
    size = BatchSize()
    for factor in wobble:
        work = (fixed + size.messages * cost) * factor
        size.note(work * wait, work, full=True)
    work = fixed + size.messages * cost
    assert size.messages == MAX_MESSAGES or work >= COMMIT_TARGET / 5
    assert work <= 2 * COMMIT_TARGET


def test_batches_stay_as_they_are_while_the_store_is_slow_whatever_their_size() -> None:
    size = BatchSize()
    before = size.messages
    for _ in range(20):
        size.note(3.0, 0.04, full=False)
    assert size.messages == before
