"""What is read of Triton's words, of its log, and of a repository before it starts."""

import pytest

from nosbuild.errors import RepositoryError
from nosbuild.runtime.control import clean_reason
from nosbuild.runtime.servable import servable_models
from nosbuild.runtime.server_log import error_lines, last_lines, poll_failure

LOAD_FAILED = (
    "load failed for model 'm': version 1 is at UNAVAILABLE state: Internal: KeyError: 'w'\n\nAt:\n"
    "  /r/m/1/model.py(8): read\n  /r/m/1/model.py(7): initialize\n;\n"
)
LOG = """\
E1122 17:41:00.979446 6715 server.cc:241] "CudaDriverHelper has not been initialized."
I1122 17:41:00.979758 6715 server.cc:604]
+------+------+
| Some | Path |
+------+------+

[libprotobuf ERROR /x/text_format.cc:337] Error parsing text-format inference.ModelConfig: 3:10: \
no field named "max_batch".
E1122 17:41:08.302698 6715 model_repository_manager.cc:1460] "Poll failed for model directory \
'm': failed to read text proto from /r/m/config.pbtxt"
I1122 17:41:08.303374 6715 model_lifecycle.cc:472] "loading: other:1"
"""


@pytest.mark.parametrize(
    ("said", "clean"),
    [
        (LOAD_FAILED, "KeyError: 'w' (/r/m/1/model.py:8 in read)"),
        (
            "Internal: TritonModelException: numpy 2 is no good\n\nAt:\n"
            "  /c/backends/k/onnxruntime/model.py(9): _check\n",
            "numpy 2 is no good",
        ),
        ("Invalid argument: model input 'x' cannot be", "model input 'x' cannot be"),
        ("anything else", "anything else"),
    ],
)
def test_reasons_lose_the_words_around_them(said, clean):
    assert clean_reason(said) == clean


def test_the_log_tells_why_a_config_could_not_be_read(tmp_path):
    log = tmp_path / "triton.log"
    log.write_text(LOG)
    reason = poll_failure(log, "m")
    assert reason == (
        'failed to read text proto from /r/m/config.pbtxt: 3:10: no field named "max_batch".'
    )
    assert poll_failure(log, "other") == ""


def test_errors_of_the_log_come_without_time_stamps_and_without_the_missing_gpu(tmp_path):
    log = tmp_path / "triton.log"
    log.write_text(LOG)
    assert [line.split()[0] for line in error_lines(log)] == ["[libprotobuf", "Poll"]
    assert not any(line.startswith(("|", "+")) for line in last_lines(log))
    assert last_lines(tmp_path / "absent") == []


def model(repository, name, config, code=None):
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(config)
    if code:
        (repository / name / "1/model.py").write_text(code)


def test_a_config_decides_what_the_server_needs(tmp_path):
    tensors = 'input { name: "x" }\noutput [ { name: "y" } ]\n'
    model(tmp_path, "whole", 'backend: "onnxruntime"\n' + tensors)
    model(tmp_path, "bare", 'backend: "python"', "class M:\n    def finalize(self): ...\n")
    cache = "response_cache { enable: true }"
    model(tmp_path, "cached", f'backend: "onnxruntime" {tensors} {cache}')
    model(tmp_path, "uncached", f'backend: "onnxruntime" {tensors} # {cache}')
    model(tmp_path, "chain", 'platform: "ensemble"\n' + tensors)
    found = {entry.name: entry for entry in servable_models(tmp_path)}
    assert list(found) == ["bare", "cached", "chain", "uncached", "whole"]
    assert [name for name, entry in found.items() if not entry.is_complete] == ["bare"]
    assert [name for name, entry in found.items() if entry.finalizes] == ["bare"]
    assert [name for name, entry in found.items() if entry.is_ensemble] == ["chain"]
    assert [name for name, entry in found.items() if entry.wants_response_cache] == ["cached"]


def test_a_path_that_workers_cannot_open_is_refused(tmp_path):
    folder = tmp_path / "modèles"
    folder.mkdir()
    with pytest.raises(RepositoryError, match="other letters than ASCII"):
        servable_models(folder)
    link = tmp_path / "models"
    link.symlink_to(folder)
    with pytest.raises(RepositoryError, match="nothing to serve"):
        servable_models(link)
