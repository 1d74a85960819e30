"""Whole builds of Python classes, judged by what stands in the repository afterwards."""

import json

import numpy as np
import psutil
import pytest

from nosbuild.cli.build_summary import summary
from nosbuild.cli.variant_table import variant_table
from nosbuild.errors import (
    HostError,
    InputError,
    NosError,
    Refused,
    SampleError,
    SourceError,
    SpecError,
)
from nosbuild.plan import host_facts
from nosbuild.repository.check import check_repository
from nosbuild.repository.config import read_config
from nosbuild.repository.layout import LOCK
from nosbuild.repository.lock import read_lock
from nosbuild.source.python_class import PythonClass
from nosbuild.steps import build
from nosbuild.verify.golden import read_golden
from python_folders import write_class, write_words


@pytest.fixture(scope="module")
def words(tmp_path_factory, cache):
    """The result of one build with six methods; its folder is to be left as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOSBUILD_CACHE", str(cache))
        return build(write_words(tmp_path_factory.mktemp("repository") / "words"))


def test_each_method_tells_what_the_class_holds(words):
    for one in words.models:
        memory = read_lock(one.folder / "1" / LOCK).memory
        assert 10_000_000 < memory["idle"] <= memory["peak"] < 1_000_000_000


def model(result, method):
    """What was published of a method."""
    (found,) = [one for one in result.models if one.name.endswith(method)]
    return found


def config(result):
    return read_config(result.folder / "config.pbtxt")


def golden(result):
    return read_golden(result.folder / "1/golden")


def state(folder):
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*")
    }


def test_every_method_is_a_model_of_its_own(words):
    names = ["words", *(f"words.{m}" for m in ("scaled", "padded", "reverse", "stream", "later"))]
    assert [one.name for one in words.models] == names
    assert all(one.is_new and one.proof.passed for one in words.models)
    assert check_repository(words.folder.parent) == []
    outcomes = [outcome.step for outcome in words.steps]
    assert outcomes[:4] == ["environment", "package", "references", "prove python"]
    assert outcomes[-6:] == ["publish"] * 6
    assert [outcome.model for outcome in words.steps[-6:]] == names
    assert [o.model for o in words.steps if o.step == "references"] == names


def test_tables_have_no_columns_for_what_is_not_measured(words):
    headers = [str(column.header) for column in summary(words.models, []).columns]
    assert headers == ["model", "variant", "size", ""]
    headers = [str(column.header) for column in variant_table(words).columns]
    assert headers == ["words", "size", "worst (bar)", ""]


def test_a_version_folder_holds_all_that_serving_takes(words):
    folder = words.folder / "1"
    lock = read_lock(folder / LOCK)
    for name in ("model.py", "binding.json", "environment.json", "nos_python_model/adapter.py"):
        assert name in lock.artifact
    assert {name for name in lock.artifact if name.startswith("source/")} == {
        "source/model.py",
        "source/samples.py",
        "source/mark.txt",
    }
    assert (lock.variant, lock.backend) == ("python", "python")
    assert lock.details == {"class": "Words", "method": "__call__"}
    locked = json.loads((folder / "environment.json").read_text())
    assert [package["name"] for package in locked["packages"]] == ["numpy"]


def test_tensors_and_batching_of_each_method(words):
    shown = {
        one.name.rpartition(".")[2]: (
            config(one).max_batch_size,
            [(row.name, list(row.dims), row.optional) for row in config(one).input],
            [(row.name, list(row.dims)) for row in config(one).output],
        )
        for one in words.models
    }
    assert shown == {
        "words": (
            4,
            [("text", [1], False), ("times", [1], True)],
            [("words", [-1]), ("lengths", [-1])],
        ),
        "scaled": (4, [("x", [2], False), ("by", [1], True)], [("output", [1])]),
        "padded": (4, [("ids", [-1], False)], [("output", [1])]),
        "reverse": (4, [("data", [1], False)], [("output", [1])]),
        "stream": (0, [("text", [1], False)], [("output", [1])]),
        "later": (4, [("text", [1], False)], [("output", [1])]),
    }
    assert [row.allow_ragged_batch for row in config(model(words, "padded")).input] == [True]
    decoupled = [one.name for one in words.models if config(one).model_transaction_policy.decoupled]
    assert decoupled == ["words.stream"]
    assert not config(model(words, "stream")).model_warmup
    assert "EXECUTION_ENV_PATH" not in config(words).parameters


def test_a_sample_goes_to_every_method_that_takes_it(words):
    first, second = golden(words)[2:4]
    assert first.inputs["text"] == "two words"
    assert "times" not in first.inputs
    assert list(first.outputs["words"]) == ["two?!", "words?!"]
    assert (second.inputs["times"], list(second.outputs["lengths"])) == (1, [5, 7])
    assert golden(model(words, "scaled"))[3].outputs["output"] == pytest.approx(6)
    assert [one.outputs["output"] for one in golden(model(words, "padded"))] == [0, 1, 3, 6]


def test_bytes_are_kept_to_the_last_zero(words):
    sample = golden(model(words, "reverse"))[1]
    assert sample.inputs["data"].item() == b"\x01\x00\xff\x00"
    assert sample.outputs["output"].item() == b"\x00\xff\x00\x01"


def test_a_stream_is_proven_chunk_by_chunk(words):
    sample = golden(model(words, "stream"))[-1]
    assert sample.outputs == {}
    assert [chunk["output"].item() for chunk in sample.chunks] == ["a", "b", "c", "d"]


def test_nothing_is_written_where_nothing_changed(words):
    before = state(words.folder.parent)
    again = build(words.folder)
    assert all(outcome.cached for outcome in again.steps)
    assert not any(one.is_new for one in again.models)
    assert state(words.folder.parent) == before


def test_files_that_were_not_proven_are_found(words, tmp_path):
    folder = build(words.folder, tmp_path / "repository").folder
    version = folder / "1"
    (version / "source/re.py").write_text("print('in place of the standard library')")
    (version / "source/mark.txt").write_text("x")
    found = {finding.file.name: finding.message for finding in check_repository(folder.parent)}
    assert found["re.py"] == "was not there when the model was proven"
    assert "is not the file that was proven" in found["mark.txt"]
    assert len(found) == 2


def test_a_method_that_is_not_named_any_more_is_told(words):
    file = words.folder / "model.yaml"
    text = file.read_text()
    file.write_text(text.replace(", later", ""))
    try:
        found = {finding.model: finding for finding in check_repository(words.folder.parent)}
    finally:
        file.write_text(text)
    assert "does not name the method 'later' any more" in found["words.later"].message
    assert "says something else than what was built" in found["words.scaled"].message
    assert {finding.severity for finding in found.values()} == {"warning"}


def test_a_method_that_is_not_built_any_more_stays_and_is_told(repository):
    code = "class Model:\n" + "".join(
        f"    def {name}(self, text: str) -> str: return text\n" for name in ("one", "two")
    )
    folder = write_class(repository / "m", code, "methods: [one, two]\n")
    assert build(folder).notes == ()
    (folder / "model.yaml").write_text((folder / "model.yaml").read_text().replace(", two", ""))
    (note,) = build(folder).notes
    assert note.startswith("m.two is no method of the class any more")
    assert f"remove {repository / 'm.two'}, " in note


UNEQUAL = """
from typing import Annotated
import numpy as np

class Model:
    def letters(self, text: str) -> list[str]: return list(text)
    def rows(self, texts: list[str]) -> list[list[int]]: return [[*map(ord, t)] for t in texts]
    def same(self, text: str) -> Annotated[np.ndarray, "int64[n]"]: return np.arange(2)
    def taken(self, ids: Annotated[np.ndarray, "int64[n]"]) -> Annotated[np.ndarray, "int64[n]"]:
        return ids
"""
UNEQUAL_SAMPLES = """
def samples():
    for text in "a", "bc":
        yield {"text": text}
        yield {"texts": text}
        yield {"ids": [*map(ord, text)]}
"""


def test_answers_of_unequal_size_are_told(repository):
    yaml = "methods: [letters, rows, same, taken]\n"
    found = build(write_class(repository / "m", UNEQUAL, yaml, UNEQUAL_SAMPLES))
    told = {one.name: one.notes for one in found.models}
    assert [name for name, notes in told.items() if notes] == ["m", "m.rows"]
    assert "name output under pad: in the model.yaml, or send them one by one" in told["m"][0]
    assert "m: python published as version 1 in " in repr(found)
    assert "Model.letters answers the same served as called plainly (agreement 1" in repr(found)
    assert len(repr(found).splitlines()) == 2
    yaml = 'methods: [letters]\npad: {output: ""}\n'
    texts = 'def samples(): return [{"text": text} for text in ("a", "bc")]'
    assert build(write_class(repository / "padded", UNEQUAL, yaml, texts)).notes == ()


BAD = {
    "without annotations": (
        "class Model:\n    def __call__(self, text): ...",
        SourceError,
        "model.py:2: Model.__call__: argument 'text': has no type annotation",
        "Annotate it with one of str, bytes",
    ),
    "an annotation that no tensor can carry": (
        "class Model:\n    def __call__(self, when: complex) -> str: ...",
        SourceError,
        "model.py:2: Model.__call__: argument 'when': complex cannot be carried by a tensor",
        "",
    ),
    "an import that fails": (
        "import no_such_package\nclass Model:\n    def __call__(self, text: str) -> str: ...",
        SourceError,
        "model.py:1: could not be imported: ModuleNotFoundError: No module named 'no_such_package'",
        "Add the package that holds 'no_such_package' to requirements in the model.yaml",
    ),
    "a class that cannot be made": (
        "class Model:\n    def __init__(self):\n        open('/nowhere')\n"
        "    def __call__(self, text: str) -> str: ...",
        SourceError,
        "model.py:Model cannot be constructed: FileNotFoundError",
        "source.init",
    ),
    "a method that raises on the samples": (
        "class Model:\n    def __call__(self, text: str) -> str:\n        raise KeyError('größe')",
        SampleError,
        "model.py:Model (__call__) raised on random input 0: KeyError: 'größe' (model.py:3)",
        "samples: samples.py:samples",
    ),
    "an answer that is not the declared one": (
        "class Model:\n    def __call__(self, n: int) -> int:\n        return str(n)",
        SampleError,
        "answered random input 0 otherwise than it declares: output 'output' is declared int64, "
        "the method returned str",
        "its annotation, or outputs: in the model.yaml",
    ),
    "answers that are no rows of the batch": (
        "class Model:\n    def __call__(self, texts: list[str]) -> list[int]:\n"
        "        return [len(texts)] * 1",
        Refused,
        "output 'output' has 1 rows for a batch of 8",
        "returns one row for each of its rows",
    ),
    "rows that see each other": (
        "class Model:\n    def __call__(self, texts: list[str]) -> list[int]:\n"
        "        return [len(texts)] * len(texts)",
        Refused,
        "requests that are joined influence each other",
        "",
    ),
    "answers at random": (
        "import random\nclass Model:\n    def __call__(self, text: str) -> float:\n"
        "        return random.random()",
        Refused,
        "answered sample 0 differently the second time",
        "",
    ),
    "a process that ends": (
        "import os\nclass Model:\n    def __call__(self, text: str) -> str:\n        os._exit(7)",
        Refused,
        "the class's own process ended with exit code 7",
        "",
    ),
}


@pytest.mark.parametrize(("code", "error", "found", "remedy"), BAD.values(), ids=BAD)
def test_what_cannot_be_served_is_refused_with_a_remedy(repository, code, error, found, remedy):
    folder = write_class(repository / "m", code)
    before = state(repository)
    with pytest.raises(NosError) as caught:
        build(folder)
    assert type(caught.value) is error
    assert found in caught.value.message
    assert remedy in caught.value.remedy
    assert state(repository) == before


LONGEST = """
from typing import Annotated
import numpy as np

class Model:
    def codes(self, texts: list[str]) -> Annotated[np.ndarray, "int64[batch, n]"]:
        longest = max(map(len, texts)) + (len(texts) > 2)
        return np.array([[*map(ord, text)] + [9] * (longest - len(text)) for text in texts])

    def letters(self, texts: str) -> list[str]:
        return list(texts)
"""
TEXTS = "def samples():\n    return [{'texts': text} for text in ('one', 'three', '')]"


def test_outputs_that_are_filled_up_are_proven_with_their_padding(repository):
    declared = "methods: [codes]\npad: {output: 9}\n"
    folder = write_class(repository / "m", LONGEST, declared, TEXTS)
    result = build(folder)
    assert result.proof.passed
    assert result.proof.batches == (1, 8, 32)
    assert read_lock(result.folder / "1" / LOCK).details["pad"] == {"output": 9}
    spec = folder / "model.yaml"
    text = spec.read_text()
    spec.write_text(text.replace("output: 9", "output: 0"))
    with pytest.raises(Refused, match="must be padding, but holds 9, and pad says 0"):
        build(folder)
    spec.write_text(text.replace("pad: {output: 9}", ""))
    with pytest.raises(Refused, match=r"has shape .* the source gives") as caught:
        build(folder)
    assert "it names under pad" in caught.value.remedy
    spec.write_text(text.replace("[codes]", "[letters]").replace("9", "'-'"))
    again = build(folder)  # one item a call: the adapter fills up
    assert again.proof.passed
    with PythonClass(again.folder / str(again.version)) as source:  # as a pipeline's original
        rows = source.run({"texts": np.array(["ab", "c"], dtype=object)})["output"]
    assert rows.tolist() == [["a", "b"], ["c", "-"]]


@pytest.mark.parametrize(
    ("pad", "found"),
    [
        ("lenght: 0", "pad.lenght: the class has no such input or output"),
        ("length: 0", r"pad.length: int64\[\] has one shape, so there is nothing to fill up"),
        ("words: 0", "pad.words: 0 is a number, but words is string"),
    ],
)
def test_padding_that_does_not_fit_what_the_class_gives(repository, pad, found):
    code = "from typing import NamedTuple\n\nclass Said(NamedTuple):\n"
    code += "    words: list[str]\n    length: int\n\nclass Model:\n"
    code += "    def __call__(self, text: str) -> Said: ..."
    folder = write_class(repository / "m", code, f"pad: {{{pad}}}\n")
    with pytest.raises(SpecError, match=found):
        build(folder)


def test_a_requirement_that_does_not_exist(repository):
    code = "class Model:\n    def __call__(self, text: str) -> str: ..."
    folder = write_class(repository / "m", code, "requirements: [nosuchpackage-of-nobody]")
    before = state(repository)
    with pytest.raises(InputError) as caught:
        build(folder)
    assert f"{folder / 'model.yaml'}: requirements" in caught.value.message
    assert "nosuchpackage-of-nobody" in caught.value.message
    assert state(repository) == before


def test_a_method_whose_name_another_model_has(repository):
    code = "class Model:\n    def __call__(self, text: str) -> str: ...\n"
    code += "    def other(self, text: str) -> str: ..."
    write_class(repository / "m.other", code)
    folder = write_class(repository / "m", code, "methods: [__call__, other]")
    with pytest.raises(SpecError, match=r"methods\[1\]: would be served as m.other, which is"):
        build(folder)


def test_a_class_that_wants_a_gpu_is_not_proven_without(repository):
    code = "class Model:\n    def __init__(self, device): ...\n"
    code += "    def __call__(self, text: str) -> str: ..."
    folder = write_class(repository / "m", code)
    if host_facts().gpus:
        pytest.skip("there is a GPU")
    with pytest.raises(
        HostError, match="m is to run on a GPU, and cannot be proven here"
    ) as caught:
        build(folder, target="gpu")
    assert "instances: {kind: cpu}" in caught.value.remedy


def test_samples_that_fit_no_method(repository):
    code = "class Model:\n    def __call__(self, text: str) -> str: ...\n"
    code += "    def other(self, number: int) -> int: ..."
    samples = "def samples():\n    yield {'text': 'x'}\n"
    folder = write_class(repository / "m", code, "methods: [other, __call__]", samples)
    with pytest.raises(SampleError, match="yields no item for m, which takes number"):
        build(folder)


def test_an_endless_loop_ends_with_its_step(repository):
    code = "class Model:\n    def __call__(self, text: str) -> str:\n        while True: pass"
    folder = write_class(repository / "endless_loop", code)
    build_ended = pytest.raises(Refused, match="did not end within 6 s")
    with build_ended:
        build(folder, step_timeout=6)
    workers = [p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"])]
    assert not [
        line
        for line in workers
        if "worker.py" in " ".join(line) and str(repository) in " ".join(line)
    ]


def test_without_batches_and_built_again_after_a_file_of_its_changed(repository):
    code = """
    from pathlib import Path

    class Model:
        def __call__(self, texts: list[str]) -> list[int]:
            factor = int(Path(__file__).with_name("factor.txt").read_text())
            return [len(text) * factor for text in texts]
    """
    samples = "def samples():\n    yield {'texts': ['a', 'bc']}\n    yield {'texts': []}\n"
    folder = write_class(repository / "m", code, "batching: false", samples, factor="1")
    result = build(folder)
    (row,) = config(result).input
    assert (config(result).max_batch_size, list(row.dims)) == (0, [-1])
    np.testing.assert_array_equal(golden(result)[0].outputs["output"], [1, 2])

    (folder / "factor.txt").write_text("10")
    again = build(folder)
    assert (again.version, again.is_new) == (2, True)
    answers = read_golden(again.folder / "2/golden")[0].outputs
    np.testing.assert_array_equal(answers["output"], [10, 20])
    why = {outcome.step: outcome.why for outcome in again.steps}
    assert (why["environment"], why["package"]) == (
        "nothing changed",
        "the model's files changed",
    )
