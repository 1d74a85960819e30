"""Whole builds of models that misbehave: the child goes down, the build reports, we live on."""

import json
import os

import numpy as np
import psutil
import pytest

import nosbuild
from nosbuild.errors import Refused, SourceError
from nosbuild.verify.golden import read_golden


@pytest.fixture
def build(tmp_path, monkeypatch):
    monkeypatch.setenv("NOSBUILD_CACHE", str(tmp_path / "cache"))

    def run(spec, **options):
        return nosbuild.build(spec.folder, repository=tmp_path / "repository", **options)

    return run


# Neither other variants nor how fast they are matters here.
ONE = "precision: [fp32]\ndims: {batch: 1}\ninstances: {count: 1, threads: 1}\n"
CODE = """
import numpy as np
import sys
{above}
def train():
    from sklearn.linear_model import LogisticRegression
    {inside}
    X = np.eye(4, dtype=np.float32)
    return LogisticRegression().fit(X, ["no", "yes", "no", "yes"])
"""


@pytest.fixture
def misbehaving(make_model):
    def make(inside="pass", above=""):
        code = CODE.format(inside=inside, above=above)
        return make_model("source: {sklearn: 'model.py:train'}\n", model=code)

    return make


DEATHS = {
    "os._exit": ("import os; print('last words'); os._exit(0)", "ended with exit code 0"),
    "sys.exit": ("print('last words'); sys.exit(3)", "ended with exit code 3 and no result"),
    "a segfault": (
        "import ctypes; print('last words'); ctypes.string_at(0)",
        "crashed (SIGSEGV)",
    ),
    "an abort": ("import os; print('last words'); os.abort()", "crashed (SIGABRT)"),
    "a kill": (
        "import os; print('last words'); os.kill(os.getpid(), 9)",
        "was killed (out of memory?)",
    ),
}


@pytest.mark.parametrize(("inside", "how"), DEATHS.values(), ids=DEATHS)
def test_a_step_that_dies_is_refused_with_the_end_of_its_log(
    misbehaving, build, tmp_path, inside, how
):
    with pytest.raises(Refused) as caught:
        build(misbehaving(inside))
    assert how in caught.value.message
    assert "    last words" in caught.value.message
    log = caught.value.message.partition("The end of its log ")[2].partition(":\n")[0]
    assert "last words" in (tmp_path / "cache/logs" / os.path.basename(log)).read_text()  # noqa: PTH119
    assert not (tmp_path / "repository").exists()


def test_an_endless_loop_is_ended_with_its_own_children(misbehaving, build, tmp_path):
    pids = tmp_path / "pids"
    # Before scikit-learn is imported: the file must be there when the time is over.
    above = (
        "import os, subprocess; child = subprocess.Popen(['sleep', '1000'])\n"
        f"with open({str(pids)!r}, 'w') as file: file.write(f'{{os.getpid()}} {{child.pid}}')\n"
        "while True: pass"
    )
    with pytest.raises(Refused, match=r"did not end within 6 s; its log is .*\.log") as caught:
        build(misbehaving(above=above), step_timeout=6)
    assert "--step-timeout" in caught.value.remedy
    for pid in map(int, pids.read_text().split()):
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


def test_an_error_keeps_its_class_and_line_across_the_process(misbehaving, build):
    with pytest.raises(SourceError, match=r"raised ValueError: no data \(model.py:7\)"):
        build(misbehaving("raise ValueError('no data')"))


def test_random_weights_are_the_same_in_export_and_proof(torch_model, build):
    """Nothing in this model is seeded; each step loads it in a process of its own."""
    body = """
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
    def forward(self, x):
        return self.layer(x)
    """
    result = build(torch_model(body, more="quality: {relative: 1e-5}\n" + ONE))
    assert result.proof.passed
    assert not any(step.cached for step in result.steps)


def test_an_unseeded_forest_that_prints_a_lot_and_asks_for_input_is_proven(make_model, build):
    code = """
    import sys
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier
    def train():
        sys.stdout.write("x" * 5_000_000)
        sys.stderr.write("y" * 5_000_000)
        assert sys.stdin.read() == ""
        X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
        y = np.where(X[:, 0] + X[:, 1] > 0, "up", "down")
        return RandomForestClassifier(10).fit(X, y)
    """
    result = build(make_model("source: {sklearn: 'model.py:train'}\n" + ONE, model=code))
    assert result.proof.passed
    json.dumps(result.as_json(), allow_nan=False)
    golden = read_golden(result.folder / str(result.version) / "golden")
    assert {str(sample.outputs["label"]) for sample in golden} == {"up", "down"}
    assert golden[0].outputs["label"].shape == ()
    assert golden[0].outputs["probabilities"].dtype == np.float32
