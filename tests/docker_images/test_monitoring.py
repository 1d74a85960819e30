"""The dashboard and Prometheus's settings, against what a real Triton exports."""

import json
import re
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import yaml

import nosclient
from nosbuild.runtime import serve

MONITORING = Path(__file__).resolve().parents[2] / "docker/monitoring"
COMPOSE = MONITORING.parent / "compose.yml"
FUNCTIONS = {"by", "increase", "label_values", "max", "rate", "sum"}
ECHO = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor("y", pb_utils.get_input_tensor_by_name(one, "x").as_numpy())]
            )
            for one in requests
        ]
"""
CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: 4
input {{ name: "x" data_type: TYPE_FP32 dims: 2 }}
output {{ name: "y" data_type: TYPE_FP32 dims: 2 }}
response_cache {{ enable: true }}
"""


def expressions():
    """Everything that the dashboard asks Prometheus for."""
    board = json.loads((MONITORING / "grafana/dashboards/triton.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["definition"]


def names_and_labels(expression):
    """(metric, labels that are asked of it) of an expression of PromQL."""
    plain = re.sub(r'"[^"]*"', '""', expression)
    plain = re.sub(r"\[[^\]]*\]", "", plain)
    shared = {
        label
        for group in re.findall(r"\bby \(([^)]*)\)", plain)
        for label in re.split(r",\s*", group)
    }
    if asked := re.fullmatch(r"label_values\((\w+), (\w+)\)", plain):
        yield asked[1], {asked[2]}
        return
    plain = re.sub(r"\bby \([^)]*\)", "", plain)
    for name, labels in re.findall(r"\b([a-z_][a-z0-9_]*)\b(?:\{([^}]*)\})?(?!\s*\()", plain):
        if name not in FUNCTIONS and not re.search(rf"\{{[^}}]*\b{name}\b[^{{]*\}}", plain):
            yield name, shared | set(re.findall(r"(\w+)\s*[=!]~?", labels))


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A Triton as docker/compose.yml starts it, on demand, with models that were asked."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("echo", "other"):
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "1/model.py").write_text(ECHO)
        (folder / name / "config.pbtxt").write_text(CONFIG.format(name=name))
    server = yaml.safe_load(COMPOSE.read_text())["services"]["server"]
    options = server["environment"]["NOSBUILD_TRITON_OPTIONS"].split()
    with serve(
        folder,
        on_demand=True,
        memory="1GiB",
        http_port=0,
        grpc_port=0,
        metrics_port=0,
        triton_options=options,
    ) as running:
        with nosclient.Client(running.grpc_url) as client:
            for name in ("echo", "other"):
                for _ in range(3):
                    client.run(name, {"x": np.ones((2, 2), np.float32)})
        yield running


@pytest.fixture(scope="module")
def exported(service):
    """Metric -> the labels of its samples."""
    with urllib.request.urlopen(service.metrics_url) as answer:
        told = answer.read().decode()
    found = {}
    for name, labels in re.findall(r"^([a-z]\w*)(?:\{([^}]*)\})? ", told, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


@pytest.mark.live
def test_every_metric_and_label_of_the_dashboard_is_exported(exported):
    asked = [pair for expression in expressions() for pair in names_and_labels(expression)]
    on_gpus = {name for name, _ in asked if name.startswith("nv_gpu_")}
    assert len({name for name, _ in asked}) >= 18
    for name, labels in asked:
        if name not in on_gpus:
            assert name in exported, f"{name} is not exported"
            assert labels <= exported[name], f"{name} has {exported[name]}"


@pytest.mark.live
def test_what_it_asks_of_gpus_is_in_tritons_library(service):
    library = next(
        (service.environment.folder / "triton/nvidia_pytriton.libs").glob("libtritonserver*")
    )
    known = library.read_bytes()
    names = {name for one in expressions() for name, _ in names_and_labels(one)}
    on_gpus = {name for name in names if name.startswith("nv_gpu_")}
    assert len(on_gpus) == 3
    for name in (*on_gpus, "gpu_uuid"):
        # Its compiler writes a string in pieces of 16 bytes.
        assert name[:16].encode() in known


@pytest.mark.live
def test_the_manager_exports_what_it_did(service):
    with nosclient.Client(service.grpc_url) as client:
        client.run("echo", {"x": np.ones((1, 2), np.float32)})
    with urllib.request.urlopen(service.metrics_url) as answer:
        told = answer.read().decode()
    for name in ("echo", "other"):
        assert f'nosbuild_model_loads_total{{model="{name}"}} 1\n' in told
        assert f'nosbuild_model_evictions_total{{model="{name}"}} 0\n' in told
    sizes = [
        int(size) for size in re.findall(r"^nosbuild_model_memory_bytes\{.*\} (\d+)", told, re.M)
    ]
    used = re.search(r'^nosbuild_memory_used_bytes\{memory="host"\} (\d+)', told, re.M)
    assert sum(sizes) == int(used[1]) > 0
    assert f'nosbuild_memory_budget_bytes{{memory="host"}} {1024**3}\n' in told


@pytest.mark.live
def test_a_server_without_metrics_loads_on_demand_all_the_same(service):
    with (
        serve(
            service.repository,
            on_demand=True,
            http_port=0,
            grpc_port=0,
            metrics_port=0,
            triton_options=["--allow-metrics=false"],
        ) as silent,
        nosclient.Client(silent.grpc_url) as client,
    ):
        client.run("echo", {"x": np.ones((1, 2), np.float32)})


def test_names_and_labels_of_an_expression():
    expression = (
        'sum by (model, reason) (rate(a_total{model=~"$model"}[5m])) / max(b{quantile="0.5"})'
    )
    assert dict(names_and_labels(expression)) == {
        "a_total": {"model", "reason"},
        "b": {"model", "reason", "quantile"},
    }


def test_prometheus_scrapes_the_compose_files_server():
    settings = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    (job,) = settings["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    service, port = target.split(":")
    server = yaml.safe_load(COMPOSE.read_text())["services"][service]
    assert f"127.0.0.1:{port}:{port}" in server["ports"]
    assert job["metrics_path"] == "/metrics"


def test_grafana_finds_the_dashboard_and_its_source():
    provisioned = MONITORING / "grafana/provisioning"
    sources = yaml.safe_load((provisioned / "datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    compose = yaml.safe_load(COMPOSE.read_text())["services"]
    host, port = sources[0]["url"].removeprefix("http://").split(":")
    assert f"127.0.0.1:{port}:{port}" in compose[host]["ports"]
    dashboards = yaml.safe_load((provisioned / "dashboards/nosbuild.yml").read_text())
    place = dashboards["providers"][0]["options"]["path"]
    assert f"./monitoring/grafana/dashboards:{place}:ro" in compose["grafana"]["volumes"]
    board = json.loads((MONITORING / "grafana/dashboards/triton.json").read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
