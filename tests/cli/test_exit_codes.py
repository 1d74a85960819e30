"""What the shell sees: an exit code, and one clear message without a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

SIGMOID = 'source: {onnx: "onnxruntime:datasets/sigmoid.onnx"}\n'
FIT = """
import numpy as np
from sklearn.linear_model import LinearRegression

def fit():
    return LinearRegression().fit(np.eye(2), np.ones(2))
"""
LINEAR = 'source: {sklearn: "code.py:fit"}\ndims: {batch: 1}\ninstances: {count: 1, threads: 1}\n'


def test_version_and_help(nosbuild):
    script = Path(sys.executable).with_name("nosbuild")
    said = subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("nosbuild 0.")
    assert nosbuild("--version").out == said
    shown = nosbuild("--help")
    assert shown.code == 0
    for command in ("new", "build", "check", "hub", "serve", "ls", "status", "run", "doctor"):
        assert command in shown.out
    assert "Exit codes: 0 done, 2 usage, 3 bad input" in shown.out


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['nosbuild', '--help']\n"
        "from nosbuild.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = set(done.stderr.split())
    assert "nosbuild.cli.build" in loaded
    heavy = {
        "numpy", "onnx", "onnxruntime", "torch", "sklearn", "transformers", "tritonclient",
        "pydantic", "yaml", "google.protobuf", "nosclient", "psutil", "onnx_ir", "filelock",
    }  # fmt: skip
    assert not heavy & loaded


@pytest.mark.parametrize(
    "arguments",
    [
        ["buidl"],
        ["build", "m", "--frehs"],
        ["build", "m", "--step-timeout", "soon"],
        ["build", "m", "--step-timeout", "0"],
        ["run", "m"],
        ["run", "m", "--random", "--input", "x.json"],
        ["run", "m", "--random", "--batch", "0"],
    ],
)
def test_usage(nosbuild, arguments):
    assert "Usage: nosbuild" in nosbuild(*arguments).failed(2)


def test_run_needs_one_source_of_inputs(nosbuild):
    neither = nosbuild("run", "m").failed(2)
    assert "Give --input FILE, or --random" in neither
    both = nosbuild("run", "m", "--random", "--input", "x.json").failed(2)
    assert "exclude each other" in both
    assert "Invalid value" not in neither + both


def test_help_of_the_ports(nosbuild):
    shown = nosbuild("serve", "--help").out
    for port in ("HTTP port; by default 8000", "gRPC port; by default 8001", "Metrics port"):
        assert port in shown


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["build", "absent"], ["absent: there is no such file or folder", "nosbuild new absent"]),
        (["build"], ["model_repository does not exist", "nosbuild new"]),
        (["build", "."], [". holds no model", "nosbuild new"]),
        (
            ["build", "hub:minilmm"],
            ["hub:minilmm: the gallery has no such model", "Did you mean minilm"],
        ),
        (["check"], ["model_repository does not exist", "nosbuild new"]),
        (["check", "."], ["holds no model"]),
        (["ls"], ["model_repository does not exist"]),
        (["serve"], ["model_repository does not exist"]),
        (["new", "m", "--from", "pytorch"], ["unknown kind of source 'pytorch'", "torch"]),
    ],
)
def test_bad_input(nosbuild, arguments, parts):
    message = nosbuild(*arguments).failed(3)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    "arguments", [["build", "hub:minilmm"], ["check"], ["ls"], ["status", "--url", "127.0.0.1:9"]]
)
def test_errors_are_json_where_json_was_asked_for(nosbuild, arguments):
    done = nosbuild(*arguments, "--json")
    error = done.json["error"]
    assert set(error) == {"type", "message", "remedy", "exit_code"}
    assert error["exit_code"] == done.code
    assert error["message"]
    assert done.err == ""


@pytest.mark.parametrize(
    ("text", "files", "code", "parts"),
    [
        ("source: {onnx: gone.onnx}\n", {}, 3, ["gone.onnx"]),
        ("sorce: {onnx: x}\n", {}, 3, ["model.yaml:2: sorce: unknown key", "source"]),
        ("source: [\n", {}, 3, ["model.yaml:"]),
        (LINEAR, {"code": "def fit(): return 5\n"}, 3, ["returned a int", "Return the fitted"]),
        (
            LINEAR,
            {"code": "def fit():\n    1 / 0\n"},
            3,
            ["raised ZeroDivisionError", "(code.py:2)"],
        ),
        (
            LINEAR,
            {"code": "def fit():\n    import os\n    os.abort()\n"},
            4,
            ["crashed (SIGABRT)", "log"],
        ),
        (
            SIGMOID + "build_requirements: ['not-there-at-all==1.0', 'numpy>=1']\n",
            {},
            5,
            ["not installed: not-there-at-all==1.0", "pip install --no-deps not-there-at-all==1.0"],
        ),
    ],
)
def test_models_that_cannot_be_built(nosbuild, model, text, files, code, parts):
    folder = model("m", text, **files)
    before = sorted(folder.iterdir())
    done = nosbuild("build", folder, "--json")
    message = done.failed(code)
    assert all(part in message for part in parts), message
    assert sorted(folder.iterdir()) == before
    (failed,) = done.json["failed"]
    assert failed["exit_code"] == code
    said = message.replace("\n  ", "\n")  # all but the first line stand below the name
    assert failed["message"] in said


def test_a_server_that_is_not_there(nosbuild):
    message = nosbuild("status", "--url", "127.0.0.1:9").failed(5)
    assert "127.0.0.1:9" in message


def test_no_service_here(nosbuild):
    message = nosbuild("run", "m", "--random").failed(5)
    assert "no service runs on this machine" in message
    assert "nosbuild serve" in message


def test_one_bad_model_does_not_stop_the_others(nosbuild, model, tmp_path):
    model("a_bad", LINEAR, code="def fit(): return 5\n")
    model("good", LINEAR + "description: '[/] [red]'\n", code=FIT)
    model("worse", SIGMOID + "build_requirements: ['not-there-at-all']\n")
    done = nosbuild("build", "model_repository")
    assert done.code == 3  # of the first that failed
    assert "Traceback" not in done.err
    assert (tmp_path / "model_repository/good/1/model.onnx").is_file()
    assert not (tmp_path / "model_repository/a_bad/config.pbtxt").exists()
    rows = {line.split()[0]: line for line in done.out.splitlines() if line.split()}
    assert "failed" in rows["a_bad"]
    assert "published" in rows["good"]
    assert "failed" in rows["worse"]

    again = nosbuild("build", "model_repository", "--json")
    assert again.code == 3
    assert [(row["name"], row["is_new"]) for row in again.json["built"]] == [("good", False)]
    failed = [(row["name"], row["exit_code"]) for row in again.json["failed"]]
    assert failed == [("a_bad", 3), ("worse", 5)]

    listed = nosbuild("ls")
    assert "[/] [red]" in listed.out
    assert listed.out.count("not built") == 2
    rows = {row["name"]: row for row in nosbuild("ls", "--json").json}
    assert rows["good"]["version"] == 1
    assert rows["a_bad"]["version"] == 0


def test_a_model_that_is_not_proven(nosbuild, model):
    folder = model("m", LINEAR + "quality: {prediction: {relative: 1e-30}}\n", code=FIT + RANDOM)
    message = nosbuild("build", folder).failed(4)
    assert "is not proven, and not published" in message
    assert "relative <= 1e-30" in message
    assert not (folder / "config.pbtxt").exists()


RANDOM = """

exact = fit

def fit():
    estimator = exact()
    estimator.coef_ = np.array([1 / 3, 1 / 7])
    return estimator
"""


def test_problems_of_a_spec_align_and_stay_whole(nosbuild, model):
    model("wave", "sorce: {onnx: x}\nquality: {cosin: 0.9}\n")
    done = nosbuild("build", COLUMNS="40")
    first, *rest = done.failed(3).splitlines()
    assert first == "✗ wave"
    where = [line for line in rest if "model.yaml" in line]
    assert len(where) >= 3
    assert all(line.startswith("  model_repository/wave/model.yaml") for line in where)
    assert all(line.startswith("    ") for line in rest if line not in where)
    assert len(rest) == 2 * len(where)
    assert done.out == ""


def test_an_error_of_the_users_code_names_the_log(nosbuild, model):
    model("m", LINEAR, code="def fit():\n    1 / 0\n")
    done = nosbuild("build", COLUMNS="40")
    found, *helps = done.failed(3).splitlines()[1:]
    assert found.startswith("✗ m  ") and found.endswith("(code.py:2)")
    assert all(line.startswith("  ") for line in helps)
    log = Path(helps[-1].removeprefix("  Log: "))
    assert "ZeroDivisionError" in log.read_text()
    assert done.out == ""


def test_all_models_are_built_by_default_and_outputs_are_named(nosbuild, model):
    model("m", LINEAR, code=FIT)
    logistic = FIT.replace("LinearRegression()", "LogisticRegression()")
    two = logistic.replace("LinearRegression", "LogisticRegression").replace(
        "np.ones(2)", "np.arange(2)"
    )
    model("two", LINEAR, code=two)
    done = nosbuild("build")
    assert done.code == 0, done.err
    one, two = done.out.split("\ntwo ", 1)
    assert one.split()[:3] == ["m", "size", "worst"]
    assert "prediction: " not in one
    assert "label: agreement" in two
    assert "probabilities: relative" in two
    *_, first, second = done.out.splitlines()[-3:]
    assert [line.split()[0] for line in (first, second)] == ["m", "two"]
    assert "random inputs; name real ones with samples: in the model.yaml" in done.out
