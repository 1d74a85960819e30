"""Each command once, as a user runs it."""

import pytest

from nosbuild.spec import load_spec


def test_a_model_of_the_gallery_is_copied_and_built(gallery_build):
    done, folder = gallery_build
    assert done.code == 0, done.err
    (row,) = done.json["built"]
    assert (row["name"], row["version"], row["is_new"]) == ("breast_cancer", 1, True)
    assert row["proof"]["passed"] and row["proof"]["real_samples"]
    copied = folder / "model_repository/breast_cancer"
    assert (copied / "forest.py").is_file()
    assert (copied / "1/model.onnx").is_file()


def test_a_copy_of_the_gallery_keeps_the_users_changes(gallery_build, run_in):
    _, folder = gallery_build
    file = folder / "model_repository/breast_cancer/model.yaml"
    text = file.read_text()
    try:
        file.write_text(text + "response_cache: true\n")
        done = run_in(folder, "build", "hub:breast_cancer", "--json", "--explain")
        assert done.code == 0
        assert file.read_text() == text + "response_cache: true\n"
        assert "nothing changed" in done.err
    finally:
        file.write_text(text)
        assert run_in(folder, "build", "hub:breast_cancer").code == 0


def test_ls(gallery_build, run_in):
    _, folder = gallery_build
    shown = run_in(folder, "ls")
    assert shown.code == 0
    assert "breast_cancer" in shown.out
    assert "onnx-fp32" in shown.out


def test_check_says_nothing_of_what_was_built(gallery_build, run_in):
    _, folder = gallery_build
    done = run_in(folder, "check")
    assert (done.code, done.out.strip()) == (0, "no problems found")
    assert run_in(folder, "check", "--json").json == []


def test_check_ends_with_3_on_errors_and_0_on_warnings(nosbuild, model):
    folder = model("m", 'source: {onnx: "onnxruntime:datasets/sigmoid.onnx"}\n')
    done = nosbuild("check")
    assert done.code == 0
    assert f"warning {folder.relative_to(folder.parents[1])}/config.pbtxt: not built" in done.out
    assert "0 errors, 1 warning" in done.out
    (folder / "config.pbtxt").write_text("nonsense")
    done = nosbuild("check")
    assert done.code == 3
    assert "1 error, 0 warnings" in done.out
    done = nosbuild("check", "--json")
    assert done.code == 3
    (finding,) = done.json
    assert set(finding) == {"model", "file", "severity", "message", "remedy"}


@pytest.mark.parametrize(
    "source", ["torch", "huggingface", "onnx", "sklearn", "python", "pipeline"]
)
def test_new_from_every_source_can_be_read(nosbuild, tmp_path, source):
    done = nosbuild("new", "mine", "--from", source)
    assert done.code == 0
    assert "nosbuild build model_repository/mine" in done.out
    spec = load_spec(tmp_path / "model_repository/mine")
    assert (spec.name, spec.source.kind) == ("mine", source)


def test_new_leaves_what_is_there(nosbuild, model):
    folder = model("mine", "mine alone\n")
    assert "exists already" in nosbuild("new", "mine").failed(3)
    assert (folder / "model.yaml").read_text() == "name: mine\nmine alone\n"


def test_new_then_build_a_torch_model(nosbuild, tmp_path):
    pytest.importorskip("torch")
    assert nosbuild("new", "elsewhere/mine", "--from", "torch").code == 0
    done = nosbuild("build", "elsewhere/mine")
    assert done.code == 0, done.err
    assert "published v1" in done.out
    assert (tmp_path / "elsewhere/mine/1/model.onnx").is_file()
    assert nosbuild("build", "elsewhere/mine", "-r", "other").code == 0
    assert (tmp_path / "other/mine/1/model.onnx").is_file()


def test_hub(nosbuild):
    shown = nosbuild("hub")
    assert shown.code == 0
    assert "hub:breast_cancer" in shown.out
    names = {row["name"] for row in nosbuild("hub", "--json").json}
    assert {"minilm", "efficientnet_lite0", "ocr_detect", "ocr_recognize", "breast_cancer"} <= names


def test_schema(nosbuild):
    schema = nosbuild("schema").json
    assert {"name", "source", "inputs", "quality"} <= set(schema["properties"])


def test_doctor(nosbuild):
    findings = nosbuild("doctor", "--json")
    assert findings.code in (0, 5)
    missing = [row for row in findings.json if row["required"] and not row["ok"]]
    assert bool(missing) == (findings.code == 5)
    assert all(row["remedy"] for row in missing)
    shown = nosbuild("doctor")
    assert shown.code == findings.code
    for row in findings.json:
        assert row["what"] in shown.out
