"""What a proof through a real Triton says of good models, and what it catches."""

import json
import os
import signal
from pathlib import Path

import published_models as published
import pytest

from nosbuild.errors import HostError, InputError, RepositoryError
from nosbuild.prove import prove_served
from nosbuild.runtime import running_services, serve

WAYS = [
    (transport, together)
    for transport in ("HTTP", "gRPC", "shared memory")
    for together in (False, True)
]


def ways(proof, together):
    return [way for way in proof.ways if way.together is together]


@pytest.mark.parametrize("name", ["words", "total", "cached", "never_joined", "near"])
def test_a_good_model_passes_every_way(proofs, name):
    proof = proofs[name, 1]
    assert proof.passed, proof.refusal()
    assert proof.refusal() == ""
    assert [(way.transport, way.together) for way in proof.ways] == WAYS
    assert all(way.requests >= proof.samples and way.findings for way in proof.ways)
    assert (proof.notes, proof.failure, proof.log) == ((), "", "")


@pytest.mark.parametrize("name", ["words", "near"])
def test_requests_sent_together_are_joined(proofs, name):
    for way in ways(proofs[name, 1], together=True):
        assert way.joined and way.runs < way.requests, way.name
        assert way.largest_batch > 1
    for way in ways(proofs[name, 1], together=False):
        assert (way.runs, way.largest_batch) == (way.requests, 1)


@pytest.mark.parametrize("name", ["total", "never_joined"])
def test_what_triton_must_not_join_stays_alone(proofs, name):
    for way in proofs[name, 1].ways:
        assert (way.runs, way.largest_batch) == (way.requests, 1)


def test_the_response_cache_does_not_answer_for_the_model(proofs):
    for way in ways(proofs["cached", 1], together=False):
        assert way.runs == way.requests == 6


def test_a_swapped_artifact_with_a_forged_lock_is_caught_with_the_numbers(proofs):
    proof = proofs["wrong", 1]
    assert not any(way.passed for way in proof.ways)
    for way in proof.ways:
        (scores, label) = way.findings
        assert label.holds
        assert (scores.output, scores.bar) == ("scores", "relative <= 0.001")
        assert scores.value == pytest.approx(0.01, rel=0.01)
    (line,) = proof.refusal().splitlines()
    assert line.startswith("scores: relative <= 0.001, worst 0.01 (golden sample ")
    assert all(way.name in line for way in proof.ways)
    assert "6 of them not within the bars" in proof.headline()


def test_a_model_that_is_wrong_only_in_company_is_caught(proofs):
    proof = proofs["counts_its_batch", 1]
    assert all(way.passed for way in ways(proof, together=False))
    for way in ways(proof, together=True):
        assert not way.passed
        assert max(finding.value for finding in way.findings) >= 1


def test_a_request_that_the_model_fails_on_names_its_sample(proofs):
    proof = proofs["lookup", 1]
    for way in proof.ways:
        assert way.failure.startswith("golden sample 2: model 'lookup' failed")
        assert "out of data bounds" in way.failure
    assert "lookup" in Path(proof.log).read_text(), "the log is kept, because something failed"


def test_an_answer_of_another_shape(proofs):
    refusal = proofs["doubled", 1].refusal()
    assert "y has shape [1, 4]" in refusal
    assert "the source gives [1, 2] (over HTTP alone" in refusal
    assert "8 bytes" in refusal  # over shared memory it has no room


def test_a_metric_of_the_users_own(proofs):
    assert proofs["near", 1].worst()[0][0].bar == "metrics.py:nearness >= 0.999"
    proof = proofs["nearer_than_equal", 1]
    (finding, _) = proof.worst()[0]
    assert finding.value == pytest.approx(1, abs=1e-5)
    assert not proof.passed
    assert "scores: metrics.py:nearness >= 1.5, worst" in proof.refusal()


def test_a_metric_that_raises_is_the_users_to_mend(tmp_path):
    published.own_metric(tmp_path, "raises", 0.5)
    code = "def nearness(candidate, reference):\n    return 1 / 0\n"
    (tmp_path / "raises/metrics.py").write_text(code)
    with pytest.raises(InputError, match="ZeroDivisionError"):
        prove_served(tmp_path)


def test_a_share_counts_over_all_samples_of_the_build(proofs):
    """0.9 lets one label of ten miss; the golden samples may hold that one."""
    allowed, missed = proofs["one_miss_of_ten", 1], proofs["one_miss_of_six", 1]
    assert allowed.passed, allowed.refusal()
    assert not missed.passed
    assert "label: agreement >= 0.9, worst 0.833333 (golden sample 0)" in missed.refusal()


def test_every_version_that_is_served_is_proven(proofs):
    assert proofs["versions", 1].passed
    assert not proofs["versions", 2].passed


def test_a_transport_that_is_not_tried_says_why(proofs):
    for proof in proofs.values():
        assert list(proof.skipped) == ["CUDA shared memory"]
        assert proof.skipped["CUDA shared memory"]


def test_progress_names_model_transport_and_mode(proofs, said):
    assert "words v1: over shared memory, together" in said
    assert "versions v2: over gRPC, one by one" in said


def test_headlines(proofs):
    headline = proofs["words", 1].headline()
    assert headline.startswith("words v1: 4 golden samples, 6 ways, all within agreement >= 1 (")
    assert json.loads(json.dumps(proofs["wrong", 1].as_json()))["passed"] is False


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("running")
    published.classifier(folder)
    published.classifier(folder, "cached", config=published.CACHED)
    with serve(folder) as running:
        yield running


def test_a_running_server_is_taken_as_it_is(service):
    (record,) = [r for r in running_services() if r.pid == service.pid]
    (proof,) = prove_served(service.repository, ["classifier"], server=record)
    assert proof.passed, proof.refusal()
    assert service.is_running


def test_answers_of_a_running_servers_cache_are_told(service):
    (proof,) = prove_served(service.repository, ["cached"], server=service)
    for way in proof.ways[1:]:
        assert (way.runs, way.from_cache, way.joined) == (0, way.requests, False)
    (note,) = proof.notes
    assert note.startswith("the response cache answered ")


def test_a_spec_that_moved_on_is_said_and_its_bars_count(service):
    file = service.repository / "classifier/model.yaml"
    before = file.read_text()
    file.write_text(before + "quality: {scores: {relative: 1.0e-30}}\n")
    try:
        (proof,) = prove_served(service.repository, ["classifier"], server=service)
    finally:
        file.write_text(before)
    assert proof.notes == (
        "model.yaml says something else than what was built; its bars of now are applied",
    )
    assert "scores: relative <= 1e-30, worst" in proof.refusal()


def test_without_a_model_yaml_the_bars_of_the_build_count(service):
    file = service.repository / "classifier/model.yaml"
    file.rename(file.with_name("away"))
    try:
        (proof,) = prove_served(service.repository, ["classifier"], server=service)
    finally:
        file.with_name("away").rename(file)
    assert proof.passed, proof.refusal()
    assert proof.notes == ("there is no model.yaml; the bars of the build are applied",)


def test_bars_for_an_output_that_is_not_there(service):
    file = service.repository / "classifier/model.yaml"
    before = file.read_text()
    inferred = [line for line in before.splitlines() if not line.startswith("outputs")]
    file.write_text("\n".join(inferred) + "\nquality: {skores: {relative: 1}}\n")
    try:
        with pytest.raises(RepositoryError, match=r"model.yaml: quality.skores: .*no output"):
            prove_served(service.repository, ["classifier"], server=service)
    finally:
        file.write_text(before)


def test_a_server_that_is_gone_is_no_verdict_on_the_model(service):
    os.kill(service.pid, signal.SIGKILL)
    service.wait(60)
    with pytest.raises(HostError) as caught:
        prove_served(service.repository, ["classifier"], server=service)
    assert "Triton ended, or does not answer" in caught.value.message
    assert str(service.log_file) in caught.value.remedy


def test_what_cannot_be_proven_is_named(tmp_path):
    with pytest.raises(RepositoryError, match="does not exist"):
        prove_served(tmp_path / "absent")
    with pytest.raises(RepositoryError, match=r"nothing to serve.*\n.*nosbuild build"):
        prove_served(tmp_path)
    published.classifier(tmp_path, "m")
    with pytest.raises(RepositoryError, match="no built model n; it has m"):
        prove_served(tmp_path, ["n"])
    (tmp_path / "m/1/golden/000.npz").write_bytes(b"no archive")
    with pytest.raises(RepositoryError, match="golden cannot be read"):
        prove_served(tmp_path)
    for sample in (tmp_path / "m/1/golden").iterdir():
        sample.unlink()
    with pytest.raises(RepositoryError, match="holds no golden sample"):
        prove_served(tmp_path)
    (tmp_path / "m/1/nos.lock").unlink()
    with pytest.raises(RepositoryError, match="no build made it"):
        prove_served(tmp_path)
