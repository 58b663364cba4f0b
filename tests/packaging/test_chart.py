"""The Helm chart: rendered by Helm, held against Kubernetes' own schema, refusing what cannot work."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.packaging.tools import tool
from umbel import __version__
from umbel.settings import OPTIONS

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/umbel"
POSTGRES = "store.url=postgresql://u:p@db/umbel"
SHAPES = {
    "single": ["broker.url=redis://:p@redis/0"],
    "single on RabbitMQ, everything switched on": [
        "broker.url=amqp://u:p@rabbit//",
        "ingress.enabled=true",
        "serviceMonitor.enabled=false",
        "networkPolicy.from[0].namespaceSelector.matchLabels.team=ops",
        "env.UMBEL_RETENTION=30d",
        "env.UMBEL_URL_PREFIX=/umbel",
    ],
    "split on Redis": ["topology=split", "broker.url=redis://redis/0", "store.url=clickhouse://c/umbel"],
    "split on RabbitMQ": ["topology=split", "broker.url=amqp://rabbit//", POSTGRES, "collector.replicas=3"],
    "another Secret": ["existingSecret=mine"],
    "split with alerts": [
        "topology=split",
        "broker.url=redis://redis/0",
        "store.url=clickhouse://c/umbel",
        "alerts.enabled=true",
        "alerts.rules=every = '30s'",
    ],
    "split with traces": [
        "topology=split",
        "broker.url=amqp://rabbit//",
        POSTGRES,
        "traces.tasks=0",
        "env.OTEL_EXPORTER_OTLP_ENDPOINT=http://otel:4318",
    ],
}
REFUSED = {
    "set broker.url, or existingSecret": [],
    "needs a store that several pods share": ["topology=split", "broker.url=redis://r"],
    "several collectors need RabbitMQ": ["topology=split", "broker.url=redis://r", POSTGRES, "collector.replicas=2"],
    "needs a receiver of OTLP": ["broker.url=redis://r", "traces.tasks=0.5"],
    "must know the kind of broker": ["topology=split", "existingSecret=mine"],
    "single keeps its history on its own volume": ["broker.url=redis://r", POSTGRES],
    "Additional property brokr is not allowed": ["brokr.url=redis://r"],
}


def helm(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool("helm"), *words], capture_output=True, text=True, check=False)


def rendered(values: list[str]) -> str:
    told = helm("template", "prod", CHART, *(word for value in values for word in ("--set", value)))
    assert told.returncode == 0, told.stderr
    return told.stdout


def objects(values: list[str]) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all(rendered(values)) if found]


def containers(values: list[str]) -> list[dict[str, Any]]:
    return [
        container
        for found in objects(values)
        if found["kind"] in {"StatefulSet", "Deployment"}
        for container in found["spec"]["template"]["spec"]["containers"]
    ]


def test_helm_finds_nothing_to_complain_of() -> None:
    told = helm("lint", CHART, "--strict", "--set", "broker.url=redis://r")
    assert told.returncode == 0, told.stdout


@pytest.mark.parametrize("values", SHAPES.values(), ids=SHAPES)
def test_kubernetes_takes_every_shape(values: list[str], tmp_path: Path) -> None:
    (tmp_path / "out.yaml").write_text(rendered(values))
    told = subprocess.run(
        [tool("kubernetes-validate"), "--strict", tmp_path / "out.yaml"], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_work_is_refused_with_the_remedy(words: str) -> None:
    told = helm("template", "prod", CHART, *(word for value in REFUSED[words] for word in ("--set", value)))
    assert told.returncode != 0
    assert words in told.stderr


@pytest.mark.parametrize(
    ("shape", "parts"),
    [
        ("single", ["up"]),
        ("split on Redis", ["collect", "receive", "web"]),
        ("split on RabbitMQ", ["collect", "web"]),
        ("split with alerts", ["alert", "collect", "receive", "web"]),
        ("split with traces", ["collect", "trace", "web"]),
    ],
)
def test_each_part_runs_where_it_should(shape: str, parts: list[str]) -> None:
    assert sorted(container["args"][0] for container in containers(SHAPES[shape])) == parts


@pytest.mark.parametrize("values", SHAPES.values(), ids=SHAPES)
def test_no_container_may_more_than_it_must(values: list[str]) -> None:
    known = {option.env for option in OPTIONS} | {"OTEL_EXPORTER_OTLP_ENDPOINT"}
    for container in containers(values):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {variable["name"] for variable in container["env"]} <= known
        assert "memory" in container["resources"]["limits"]


def test_a_password_stands_in_the_secret_and_nowhere_else() -> None:
    for found in objects(["broker.url=redis://:hushhush@redis/0"]):
        assert ("hushhush" in yaml.dump(found)) == (found["kind"] == "Secret")


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
