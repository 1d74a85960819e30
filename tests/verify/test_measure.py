"""Measurements of a real build."""

import psutil

import nosbuild
from nosbuild.plan import Placement
from nosbuild.verify.measure import affordable


def test_throughput_is_measured_at_the_typical_batch(make_model, tmp_path, monkeypatch):
    monkeypatch.setenv("NOSBUILD_CACHE", str(tmp_path / "cache"))
    code = """
    import numpy as np
    from sklearn.linear_model import LinearRegression
    def fit():
        return LinearRegression().fit(np.eye(2), np.ones(2))
    """
    text = "source: {sklearn: 'model.py:fit'}\ndims: {batch: 1..1..32}\n"
    spec = make_model(text, model=code)
    measured = nosbuild.build(spec.folder, repository=tmp_path / "repository").measurement
    assert {row.batch for row in measured.throughputs} == {1}
    assert [row.batch for row in measured.latencies] == [1, 32]


def test_placements_whose_copies_of_the_weights_do_not_fit_are_left_out(tmp_path):
    artifact = tmp_path / "model.onnx"
    with artifact.open("wb") as file:
        file.truncate(psutil.virtual_memory().total // 10)
    placements = [Placement(count, 1) for count in (1, 2, 64)]
    assert [row.instances for row in affordable(artifact, placements)] == [1]
    artifact.write_bytes(b"small")
    assert affordable(artifact, placements) == placements
