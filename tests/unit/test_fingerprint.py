"""Which failures count as one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.model.fingerprint import MESSAGE, fingerprint

OWN = """Traceback (most recent call last):
  File "/srv/venv/lib/python3.11/site-packages/celery/app/trace.py", line 453, in trace_task
    R = retval = fun(*args, **kwargs)
  File "/srv/shop/payments/gateway.py", line 41, in charge
    answer = session.post(url)
  File "/srv/venv/lib/python3.11/site-packages/requests/sessions.py", line 589, in request
    raise ConnectionError(e)
ConnectionError: refused
"""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("KeyError(17)", "KeyError(4711)"),
        ("Gone('order 8d2f0c1e-77aa-4b21-9a3a-0d1b7a0f9e11')", "Gone('order 00000000-0000-4000-8000-000000000001')"),
        ("Late('since 2026-11-23T10:30:00Z')", "Late('since 2025-01-02 00:00:01.5+01:00')"),
        ("Bounced('ann@example.org')", "Bounced('bob.b+x@mail.example.com')"),
        ("<Odd object at 0x7f2a1c>", "<Odd object at 0x7f2a1d>"),
        ("Busy('took 1.5 s')", "Busy('took 12 s')"),
        ("Lost('blob 3f9c0a8b7d6e')", "Lost('blob aa01bb02cc03dd')"),
    ],
)
def test_what_varies_makes_no_difference(one: str, other: str) -> None:
    assert fingerprint(one, OWN).key == fingerprint(other, OWN).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ValueError('sold out')", "ValueError('no such sku')"),
        ("ValueError('x')", "KeyError('x')"),
        ("Missing('utf8')", "Missing('utf16')"),
    ],
)
def test_what_differs_is_told_apart(one: str, other: str) -> None:
    assert fingerprint(one, OWN).key != fingerprint(other, OWN).key


def test_the_place_is_the_applications_own_whatever_line_it_stands_on() -> None:
    found = fingerprint("ConnectionError('refused')", OWN)
    assert found.place == "payments/gateway.py in charge"
    assert found == fingerprint("ConnectionError('refused')", OWN.replace("line 41", "line 43"))


def test_where_no_frame_is_the_applications_the_innermost_counts() -> None:
    installed = OWN.replace("/srv/shop/payments", "/srv/venv/lib/python3.11/site-packages/shop")
    assert fingerprint("X()", installed).place == "requests/sessions.py in request"
    assert fingerprint("X()", "").place == ""


@given(st.text(), st.text())
def test_any_text_has_a_fingerprint_of_bounded_size(exception: str, traceback: str) -> None:
    found = fingerprint(exception, traceback)
    assert len(found.message) <= MESSAGE
    assert len(found.key) == 16
    assert found == fingerprint(exception, traceback)


@given(st.integers(min_value=0), st.integers(min_value=0))
def test_numbers_never_tell_two_failures_apart(one: int, other: int) -> None:
    assert fingerprint(f"E('row {one} of {other}')", "") == fingerprint(f"E('row {other} of {one}')", "")
