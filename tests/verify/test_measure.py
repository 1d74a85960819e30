"""Measurements of a real build."""

import nosbuild


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
