"""The page of alerts, what the overview says of it, its API and its metrics, on the real store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.alerts.test_rounds import Evaluator, failed
from tests.web.stage import Stage
from umbel.access.identity import Role
from umbel.runtime.alerting import open_alerts
from umbel.runtime.stores import open_audit

RULES = """
defaults = false
[destinations]
ops = "json://127.0.0.1:1/S3CRET"
[[rule]]
name = "mail fails"
on = "search"
search = "state:FAILURE name:mail.*"
over = 0
severity = "critical"
[[rule]]
name = "slow"
on = "latency"
over = "5s"
for = "2m"
"""


@pytest.fixture
def one(stage: Stage, tmp_path: Path) -> Evaluator:
    """An evaluator of these rules that sends nothing, on the stage's store; the web knows of it."""
    file = tmp_path / "alerts.toml"
    file.write_text(RULES)
    stage.settings = replace(stage.settings, alerts=str(file), data_dir=str(tmp_path / "data"))
    stage.alerts = open_alerts(stage.settings, stage.clock)
    stage.audit = open_audit(stage.settings, stage.clock)
    stage.well()
    stage.commit()
    assert stage.alerts is not None
    return Evaluator(stage, stage.alerts.config, send=lambda _place, _notice, _once: "not today")


def test_the_page_and_the_overview_name_what_fires_with_its_evidence_and_a_search(stage: Stage, one: Evaluator) -> None:
    one.look()
    failed(stage, "t1")
    stage.clock.advance(3)
    stage.well()
    one.look()
    with stage.client() as client:
        page, overview = client.get("/alerts").text, client.get("/").text
        metrics = client.get("/metrics").text
        told = client.get("/api/v1/alerts").json()
    for text in (page, overview):
        assert "1 in 10m, over 0" in text
        assert "/tasks?q=%28state%3AFAILURE+name%3Amail.%2A%29" in text
        assert "S3CRET" not in text
    assert "p95 of run of a task over 5s in 10m" in page
    assert 'umbel_alerts_firing{rule="mail fails",severity="critical"} 1.0' in metrics
    assert 'umbel_alerts_firing{rule="slow",severity="warning"} 0.0' in metrics
    assert 'umbel_alert_notifications_sent_total{destination="ops"} 0.0' in metrics
    (alert,) = told["items"]
    assert (alert["rule"], alert["state"], alert["severity"]) == ("mail fails", "firing", "critical")
    assert [rule["name"] for rule in told["rules"]] == ["mail fails", "slow"]
    one.kill()


def test_a_silence_from_the_page_holds_and_ends_and_is_in_the_audit_trail(stage: Stage, one: Evaluator) -> None:
    failed(stage, "t1")
    with stage.client() as client:
        form = {"rule": "mail fails", "subject": "*", "for": "2h", "reason": "deploy <b>"}
        assert client.post("/alerts/silences", data=form, follow_redirects=False).status_code == 303
        one.look()
        assert one.watch.courier.turn(leading=True) == 0
        shown = client.get("/alerts").text
        assert "deploy &lt;b&gt;" in shown
        assert "silent" in shown
        (silence,) = client.get("/api/v1/alerts").json()["silences"]
        assert client.post(f"/api/v1/alerts/silences/{silence['id']}/end").json()["rule"] == "mail fails"
        assert client.post(f"/api/v1/alerts/silences/{silence['id']}/end").status_code == 404
        made = client.post("/api/v1/alerts/silences", json={"reason": "night", "seconds": 60})
        assert (made.status_code, made.json()["subject"]) == (201, "*")
        for bad in ({"seconds": 1}, {"reason": "x", "seconds": 0}, {"reason": "x", "seconds": 1, "until": 2}):
            assert client.post("/api/v1/alerts/silences", json=bad).status_code == 400
        for wrong in ({"reason": "x", "for": "soon"}, {"for": "2h"}, {"reason": "x", "for": "900d"}):
            assert client.post("/alerts/silences", data=wrong).status_code == 400
        trail = [item["action"] for item in client.get("/api/v1/audit").json()["items"]]
    assert trail == ["silence", "unsilence", "unsilence", "silence"]
    one.kill()


def test_a_rule_is_tried_without_telling_anybody_and_a_test_goes_the_way_of_every_notice(
    stage: Stage, one: Evaluator
) -> None:
    failed(stage, "t1")
    with stage.client() as client:
        tried = client.post("/alerts/try", data={"rule": "mail fails"}).text
        assert "it holds, and would tell ops" in tried
        assert "it does not hold" in client.post("/alerts/try", data={"rule": "slow"}).text
        assert client.post("/alerts/try", data={"rule": "none"}).status_code == 404
        assert client.post("/alerts/try", data={"destination": "none"}).status_code == 404
        one.deliver()
        assert one.watch.courier.turn(leading=True) == 0
        sent = client.post("/alerts/try", data={"destination": "ops"}, follow_redirects=True).text
        assert "A test is on its way" in sent
        one.deliver()
        stage.clock.advance(3)
        assert "not today" in client.get("/alerts").text
    one.kill()


def test_a_viewer_sees_an_operator_silences_and_an_admin_tries(stage: Stage, one: Evaluator) -> None:
    login = stage.sign_in_by(basic_auth=("ann:x",), roles=("ann=admin",))
    tokens = {role: {"Authorization": f"Bearer {login.issue(role.word, role, 1, 'ann')}"} for role in Role}
    may = {Role.VIEWER: (403, 403), Role.OPERATOR: (303, 403), Role.ADMIN: (303, 200)}
    with stage.client() as client:
        for role, (silences, tries) in may.items():
            header = tokens[role]
            page = client.get("/alerts", headers=header).text
            assert ("/alerts/silences" in page, "/alerts/try" in page) == (silences == 303, tries == 200)
            form = {"reason": "x", "for": "30m"}
            silenced = client.post("/alerts/silences", data=form, headers=header, follow_redirects=False)
            assert silenced.status_code == silences
            assert client.post("/alerts/try", data={"rule": "slow"}, headers=header).status_code == tries
    one.kill()


def test_the_page_says_when_nobody_judges_and_when_there_is_nothing_to_judge(stage: Stage, one: Evaluator) -> None:
    with stage.client() as client:
        assert "no rule has been judged yet" in client.get("/alerts").text
        one.look()
        stage.clock.advance(3)
        assert "no rule has been judged" not in client.get("/alerts").text
        stage.clock.advance(100)
        assert "no rule has been judged for 103 s" in client.get("/alerts").text
    book, stage.alerts = one.book, None
    with stage.client() as client:
        assert "--alert-to" in client.get("/alerts").text
        assert client.get("/api/v1/alerts").json()["items"] == []
        assert client.post("/api/v1/alerts/silences", json={"reason": "x", "seconds": 1}).status_code == 404
    book.close()


def test_a_rule_of_the_page_is_tried_kept_judged_changed_and_deleted(stage: Stage, one: Evaluator) -> None:
    for hours in (20, 10, 0):
        failed(stage, f"t{hours}", name="shop.pay", at=stage.clock.now() - hours * 3_600)
    form = {"name": "pay <b>", "on": "search", "search": "state:FAILURE name:shop.*", "over": "0", "to": "ops"}
    with stage.client() as client:
        assert 'name="search"' in client.get("/alerts/rule").text
        assert 'name="percentile"' in client.get("/alerts/rule?on=latency").text
        tried = client.post("/alerts/rule", data={**form, "do": "try"}).text
        assert "it holds, and would tell ops" in tried
        assert "<b>3 times</b> since" in tried
        assert "search = &#34;state:FAILURE name:shop.*&#34;" in tried
        assert "pay &lt;b&gt;" in tried
        assert "pay <b>" not in client.get("/alerts").text, "nothing is kept by trying"
        assert client.post("/alerts/rule", data={**form, "do": "keep"}, follow_redirects=False).status_code == 303
        one.look()
        (alert,) = [item for item in client.get("/api/v1/alerts").json()["items"] if item["rule"] == "pay <b>"]
        assert alert["state"] == "firing", "whoever judges has found it in the book"
        changed = {**form, "over": "5", "do": "keep"}
        assert client.post("/alerts/rule", data=changed, follow_redirects=False).status_code == 303
        assert 'value="5"' in client.get("/alerts/rule", params={"name": "pay <b>"}).text
        one.look()
        stage.clock.advance(3)
        assert [item["state"] for item in client.get("/api/v1/alerts").json()["items"]] == []
        assert client.post("/alerts/rule/delete", data={"rule": "pay <b>"}, follow_redirects=False).status_code == 303
        assert client.post("/alerts/rule/delete", data={"rule": "pay <b>"}).status_code == 404
        trail = [item["action"] for item in client.get("/api/v1/audit").json()["items"]]
        happened = client.get("/alerts").text
    assert trail == ["delete_rule", "delete_rule", "keep_rule", "keep_rule"]
    assert "kept" in happened
    one.kill()


def test_a_rule_of_the_page_that_cannot_be_used_says_why_and_one_of_the_file_stays(
    stage: Stage, one: Evaluator
) -> None:
    wrong = {
        "many": {"name": "a", "on": "queue", "over": "many"},
        "needs search": {"name": "a", "on": "search", "over": "1"},
        "no destination is named": {"name": "a", "on": "umbel", "to": "elsewhere"},
        "stands in the configuration": {"name": "slow", "on": "umbel"},
        "a rule needs a name": {"on": "umbel"},
        "printable": {"name": "a\x00b", "on": "umbel"},
    }
    with stage.client() as client:
        for words, form in wrong.items():
            for deed in ("try", "keep"):
                refused = client.post("/alerts/rule", data={**form, "do": deed}, follow_redirects=False)
                assert refused.status_code == 400
                assert words in refused.text
        assert client.post("/alerts/rule", data={"name": "a", "on": "moon"}).status_code == 400
        assert client.post("/alerts/rule/delete", data={"rule": "slow"}).status_code == 404
        assert client.get("/alerts/rule?name=slow").status_code == 404
        like = client.get("/alerts/rule?like=slow").text
        assert 'value="5s"' in like
        assert 'value="2m"' in like
        names = [rule["name"] for rule in client.get("/api/v1/alerts").json()["rules"]]
    assert names == ["mail fails", "slow"]
    one.kill()


def test_programs_make_try_and_delete_rules(stage: Stage, one: Evaluator) -> None:
    rule = {"name": "jam/mail", "on": "latency", "over": "500ms", "for": "1m", "task": "shop.*", "to": ["ops"]}
    with stage.client() as client:
        tried = client.post("/api/v1/alerts/rules/try", json=rule).json()
        assert (tried["would_have_fired"], tried["destinations"]) == (0, ["ops"])
        assert (
            client.post("/api/v1/alerts/rules/try", json={"name": "q", "on": "worker"}).json()["looked_since"] is None
        )
        made = client.post("/api/v1/alerts/rules", json=rule)
        assert (made.status_code, made.json()["made_by"]) == (201, "somebody")
        for bad in ({**rule, "over": []}, {**rule, "percentile": 900}, {"on": "umbel"}, {**rule, "queue": "x"}):
            assert client.post("/api/v1/alerts/rules", json=bad).status_code == 400
        assert client.post("/api/v1/alerts/rules/jam%2Fmail/delete").json() == {"name": "jam/mail"}
        assert client.post("/api/v1/alerts/rules/jam%2Fmail/delete").status_code == 404
    one.kill()
