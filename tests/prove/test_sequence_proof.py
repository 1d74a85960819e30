"""Models with states, proven through a real Triton: sequence by sequence, and side by side."""

import pytest
from stateful_published import running_mean

from nosbuild.errors import RepositoryError, SpecError
from nosbuild.prove.published import published_versions
from nosbuild.repository.layout import ModelFolder
from nosbuild.spec import load_spec
from nosbuild.steps.members import members_of
from python_folders import write_class


@pytest.mark.parametrize("model", ["running_mean", "running_mean_direct"])
def test_whole_sequences_are_sent_every_way(proofs, model):
    proof = proofs[model, 1]
    assert proof.passed, proof.refusal()
    assert proof.samples == 10
    assert len(proof.ways) == 6
    assert {way.requests for way in proof.ways if not way.together} == {10}
    assert all(way.requests >= 40 for way in proof.ways if way.together)
    assert any("as 4 sequences, each from its first request on" in note for note in proof.notes)


def test_sequences_are_joined_with_each_other(proofs):
    """Otherwise it would say nothing of states that share a batch."""
    joined = [way for way in proofs["running_mean", 1].ways if way.together and way.joined]
    assert joined
    assert max(way.largest_batch for way in joined) > 1


def test_states_that_go_astray_are_found(proofs):
    """Every first answer is right: only what follows shows it."""
    proof = proofs["states_swapped", 1]
    assert not proof.passed
    assert {finding.output for way in proof.ways for finding in way.findings} == {"mean"}
    assert all(not way.passed for way in proof.ways)


def test_golden_samples_that_begin_nowhere_are_told(tmp_path):
    running_mean(tmp_path, "running_mean", begins=False)
    with pytest.raises(RepositoryError, match="holds no sequence that begins with the initial"):
        published_versions(ModelFolder(tmp_path / "running_mean"), {})


def test_a_state_that_the_config_does_not_keep_is_told(tmp_path):
    running_mean(tmp_path, "running_mean")
    file = tmp_path / "running_mean/config.pbtxt"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if 'input_name: "count"' not in line))
    with pytest.raises(RepositoryError, match="keeps no state count"):
        published_versions(ModelFolder(tmp_path / "running_mean"), {})


def test_a_class_that_calls_one_is_refused(tmp_path):
    running_mean(tmp_path)
    code = """
    class Model:
        def __init__(self, models): self.models = models
        def __call__(self, text: str) -> str: return text
    """
    spec = load_spec(write_class(tmp_path / "m", code, "models: [running_mean]\n"))
    with pytest.raises(SpecError, match="running_mean keeps a state") as caught:
        members_of(spec, tmp_path)
    assert 'client.sequence("running_mean")' in str(caught.value)
