"""A loss is seen wherever somebody looks: a band in every chart, by name on the overview, a banner while it grows."""

from __future__ import annotations

import json
import re

import pytest

from tests.web.events import T, success
from tests.web.stage import Stage
from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Reason

#: Each page with charts, and how many it has.
CHARTS = {"/": 3, "/names/shop.pay": 3}


@pytest.fixture
def page_of_loss(stage: Stage) -> Stage:
    """A task that ended two minutes ago, and a minute of gap since."""
    stage.clock.step(T + 120 - stage.clock.now())
    gap = LedgerEntry(Reason.DISCONNECTED, EventClass.UNKNOWN, T + 30, T + 90, 6, estimated=True, detail="gone")
    stage.commit(success("a"), ledger=[gap])
    stage.well()
    return stage


@pytest.mark.parametrize("path", CHARTS)
def test_every_chart_has_a_band_where_events_were_lost(page_of_loss: Stage, path: str) -> None:
    with page_of_loss.client() as client:
        text = client.get(path).text
    figures = re.findall(r"<figure\b.*?</figure>", text, re.DOTALL)
    drawn = [json.loads(found[1]) for figure in figures if (found := re.search(r">(\{.*?\})</script>", figure))]
    assert len(drawn) == CHARTS[path]
    assert all(chart["gaps"] == [{"from": T + 30, "to": T + 90}] for chart in drawn)
    heatmaps = [figure for figure in figures if 'class="heat"' in figure]
    assert all('<rect class="gap"' in figure for figure in heatmaps)
    assert bool(heatmaps) == (path != "/")
    # A figure that is neither has no axis of time.
    assert len(drawn) + len(heatmaps) + sum("events lost" not in figure for figure in figures) == len(figures)


def test_the_overview_names_the_loss(page_of_loss: Stage) -> None:
    with page_of_loss.client() as client:
        (losses,) = re.findall(r'<ul class="losses".*?</ul>', client.get("/").text, re.DOTALL)
    assert "disconnected" in losses
    assert "about" in losses
    assert "<b>about 6</b>" in losses


def test_a_banner_stands_on_every_page_while_losses_grow(page_of_loss: Stage) -> None:
    with page_of_loss.client() as client:
        assert "lost just now" not in client.get("/tasks").text
        page_of_loss.clock.advance(5)
        page_of_loss.commit(discarded={(Reason.SPOOL_FULL, EventClass.HEARTBEAT): 3})
        page_of_loss.well()
        for path in ("/", "/tasks", "/workers", "/ingest"):
            assert "lost just now" in client.get(path).text, path
            page_of_loss.clock.advance(1)
