"""Answers of sealed segments' indexes are remembered within bounds, and stay those of a look."""

from __future__ import annotations

from umbel.stores.sqlite.looks import LEAST, Looks


def test_an_answer_is_found_out_once_while_it_is_asked_for() -> None:
    looks, asked = Looks(), list[str]()

    def look() -> tuple[int, bool]:
        asked.append("x")
        return 5, True

    assert [looks.of(("file", "x"), look) for _ in range(3)] == [(5, True)] * 3
    assert asked == ["x"]
    assert looks.of(("another", "x"), lambda: (7, False)) == (7, False)


def test_the_answers_asked_for_last_stay_and_their_bytes_are_bounded() -> None:
    limit = 10 * LEAST
    looks = Looks(limit)
    for n in range(100):
        looks.of(n, lambda: (1 << 800, True))
        looks.of("often", lambda: (3, True))
        assert looks.size <= limit
    assert looks.of("often", lambda: (4, True)) == (3, True)
    assert looks.of(0, lambda: (9, True)) == (9, True)
    looks.of("large", lambda: (1 << 8 * limit, True))
    assert looks.size == 0
