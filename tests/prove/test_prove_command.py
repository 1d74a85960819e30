"""``nosbuild prove`` as the shell sees it."""

import json

import published_models as published
import pytest

from nosbuild.runtime import serve


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shell") / "model_repository"
    published.classifier(folder, "good")
    published.classifier(folder, "wrong", weights=published.SCORES * 1.01)
    return folder


def test_all_models_of_the_default_repository(command, folder):
    done = command("prove", cwd=folder.parent, COLUMNS="80")
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines[:-2])) <= 80
    assert "good v1  onnx-fp32, 6 golden samples" in lines
    rows = [line.split() for line in lines if line.startswith(("HTTP", "gRPC", "shared"))]
    assert len(rows) == 12
    assert {row[-1] for row in rows[:6]} == {"holds"}
    assert {row[-1] for row in rows[6:]} == {"missed"}
    good, wrong = lines[-2:]
    assert good.startswith("✓ good v1: 6 golden samples, 6 ways, all within scores: relative <=")
    assert wrong == "✗ wrong v1: 6 golden samples, 6 ways, 6 of them not within the bars"
    assert "good v1: over shared memory, together" in done.stderr
    assert "wrong v1 scores: relative <= 0.001, worst 0.01 (golden sample" in done.stderr
    assert "Triton's log: " in done.stderr


@pytest.mark.parametrize("named", ["good", "model_repository/good", "absolute"])
def test_a_model_by_name_or_folder(command, folder, named):
    named = folder / "good" if named == "absolute" else named
    done = command("prove", named, "--json", cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    (proof,) = json.loads(done.stdout)
    assert (proof["model"], proof["version"], proof["passed"]) == ("good", 1, True)
    assert len(proof["ways"]) == 6


def test_what_is_not_built(command, folder, tmp_path):
    done = command("prove", cwd=tmp_path)
    assert done.returncode == 3
    assert "model_repository does not exist" in done.stderr
    done = command("prove", "absent", cwd=folder.parent)
    assert done.returncode == 3
    assert "has no built model absent; it has good, wrong" in done.stderr
    assert "nosbuild build model_repository/absent" in done.stderr


def test_a_url_where_nothing_of_ours_listens(command, folder):
    done = command("prove", "--url", "127.0.0.1:9", cwd=folder.parent)
    assert done.returncode == 5
    assert "no service of this machine listens at 127.0.0.1:9" in done.stderr


def test_a_service_on_demand_loads_what_is_proven(command, folder):
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with serve(folder, on_demand=True, memory="1GiB", **ports) as service:
        done = command("prove", "good", "--url", service.grpc_url, cwd=folder.parent)
        assert done.returncode == 0, done.stderr
        assert service.models() == ["good"]
