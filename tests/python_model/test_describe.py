"""What a class's annotations say, and what is wrong with a class: with the line and the remedy."""

from __future__ import annotations

import pytest
from described_classes import BAD, GOOD

from python_versions import Worker, lay_out, line_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("describe") / "1", model=GOOD)


@pytest.fixture(scope="module")
def worker(folder):
    with Worker(folder) as worker:
        yield worker


@pytest.fixture
def describe(worker):
    def ask(*methods, reference="model.py:Model", init=("path",), inputs=None, outputs=None):
        found = worker.ok(
            "describe",
            reference=reference,
            init=list(init),
            methods=list(methods),
            inputs=inputs or {},
            outputs=outputs or {},
        )
        return found.get("problems") or found

    return ask


@pytest.fixture
def method(describe):
    def ask(name, **declared):
        found = describe(name, **declared)
        assert isinstance(found, dict), found
        return found["methods"][name]

    return ask


def rows(tensors):
    return {t["name"]: f"{t['kind']} {t['dtype']}{t['shape']}" for t in tensors}


def test_plain_values(method):
    found = method("scalars")
    assert rows(found["inputs"]) == {
        "a": "str string[]",
        "b": "bytes string[]",
        "c": "int int64[]",
        "d": "float float64[]",
        "e": "bool bool[]",
        "f": "int int32[]",
    }
    assert rows(found["outputs"]) == {"output": "str string[]"}
    assert (found["takes"], found["form"], found["is_async"], found["streams"]) == (
        *("item", "value"),
        *(False, False),
    )


def test_images_are_strings_that_hold_a_file(method):
    found = method("image")
    assert rows(found["inputs"]) == {"page": "image string[]"}
    assert rows(found["outputs"]) == {"output": "image string[]"}


def test_arguments_with_a_default_are_optional(method):
    inputs = {entry["name"]: entry for entry in method("optional")["inputs"]}
    assert [name for name, entry in inputs.items() if entry["optional"]] == ["b", "c", "d", "e"]
    assert inputs["b"]["default"] == 3
    assert inputs["c"]["kind"] == "float"
    assert inputs["e"]["dtype"] == "float32"
    assert not any(entry["nullable"] for entry in inputs.values())  # Python's own default applies
    inputs = {entry["name"]: entry for entry in method("nullable")["inputs"]}
    assert inputs["b"]["optional"] and inputs["b"]["nullable"]


@pytest.mark.parametrize(
    ("name", "takes", "inputs", "outputs"),
    [
        ("item", "item", {"x": "array float32[3]"}, {"output": "array float32[3]"}),
        ("batch", "batch", {"x": "array float32[3]"}, {"output": "array int64[]"}),
        ("nested", "batch", {"rows": "list[list[int]] int64['rows_axis0']"}, None),
        ("arrays", "batch", {"rows": "list[array] float32['n']"}, None),
        (
            "mixed",
            "item",
            {"question": "str string[]", "choices": "list[str] string['choices_axis0']"},
            {"output": "list[float] float64['output_axis0']"},
        ),
    ],
)
def test_who_takes_a_batch(method, name, takes, inputs, outputs):
    found = method(name)
    assert found["takes"] == takes
    assert rows(found["inputs"]) == inputs
    if outputs:
        assert rows(found["outputs"]) == outputs


def test_a_plain_argument_beside_a_batch_is_an_option_of_the_call(method):
    found = method("texts")
    assert found["takes"] == "batch"
    assert {entry["name"]: entry["option"] for entry in found["inputs"]} == {
        "texts": False,
        "top": True,
    }


@pytest.mark.parametrize(
    ("name", "form", "outputs"),
    [
        ("typed_dict", "dict", {"label": "str string[]", "score": "float float64[]"}),
        (
            "page",
            "object",
            {"words": "list[str] string['words_axis0']", "boxes": "array float32['n', 4]"},
        ),
        ("pair", "object", {"a": "int int64[]", "b": "bool bool[]"}),
        ("records", "dict", {"label": "str string[]", "score": "float float64[]"}),
        ("columns", "dict", {"n": "list[int] int64[]", "x": "array float32[3]"}),
    ],
)
def test_an_answer_of_several_parts_is_an_output_each(method, name, form, outputs):
    found = method(name)
    assert found["form"] == form
    assert rows(found["outputs"]) == outputs
    assert found["records"] is (name == "records")


def test_streams_and_async(method):
    for name, is_async in (("stream", False), ("later_stream", True)):
        found = method(name)
        assert (found["streams"], found["is_async"]) == (True, is_async)
    assert rows(method("later_stream")["outputs"]) == {
        "label": "str string[]",
        "score": "float float64[]",
    }
    found = method("unannotated_stream", outputs={"word": "string[]"})
    assert (found["streams"], found["takes"]) == (True, "item")  # a stream is one request's
    assert rows(found["outputs"]) == {"word": "array string[]"}
    later = method("later")
    assert (later["streams"], later["is_async"]) == (False, True)


def test_methods_of_the_class_and_of_its_base(describe):
    found = describe("inherited", "static", "of_class", "anything")["methods"]
    for described in found.values():
        assert list(rows(described["inputs"]).values()) == ["str string[]"]


def test_what_the_adapter_gives(describe):
    found = describe("item")
    assert (found["class"], found["close"]) == ("Model", True)
    assert found["init"] == {"device": True, "models": True}
    assert describe("item", init=("path", "device"))["init"]["device"] is False
    bare = describe("__call__", reference="model.py:Bare", init=())
    assert (bare["init"], bare["close"]) == ({"device": False, "models": False}, False)


def test_declarations_override_annotations(method):
    found = method(
        "declared",
        inputs={"x": "float32[batch, 4]", "y": "string[batch]"},
        outputs={"z": "bool[batch]"},
    )
    assert found["takes"] == "batch"
    assert rows(found["inputs"]) == {"x": "array float32[4]", "y": "array string[]"}
    assert rows(found["outputs"]) == {"z": "array bool[]"}
    found = method("undeclared", inputs={"x": "uint8[h, w]"}, outputs={"mask": "uint8[h]"})
    assert rows(found["inputs"]) == {"x": "array uint8['h', 'w']"}
    found = method("scalars", inputs={"d": "float32[]"}, outputs={"text": "string[]"})
    assert rows(found["inputs"])["d"] == "float float32[]"
    assert rows(found["outputs"]) == {"text": "str string[]"}
    found = method("two", outputs={"word": "string[]", "weight": "float32[]"})
    assert rows(found["outputs"]) == {"word": "str string[]", "weight": "float float32[]"}
    assert [entry["field"] for entry in found["outputs"]] == [0, 1]
    found = method("mapping", outputs={"p": "float32[]", "q": "float32[]"})
    assert rows(found["outputs"]) == {"p": "float float32[]", "q": "float float32[]"}
    found = method("texts", inputs={"texts": "string[n]"}, outputs={"output": "string[n]"})
    assert found["takes"] == "item"  # the list is one item's


PROBLEMS = [
    (
        "bare",
        {},
        "argument 'text': has no type annotation",
        "declare it under inputs",
    ),
    ("no_return", {}, "what Model.no_return returns: is not annotated", "-> str"),
    (
        "callback",
        {},
        "Callable[[], str] cannot be carried by a tensor",
        "write one of",
    ),
    ("either", {}, "cannot be carried", "write one of"),
    ("array", {}, "numpy.ndarray does not tell its dtype", "Annotated[np.ndarray,"),
    ("complex", {}, "numpy.complex64 cannot be carried", "str, bytes"),
    ("short", {}, "'floaty[3]' has no known dtype", "float32"),
    ("some_list", {}, "list cannot be carried", "list[str]"),
    ("hidden", {}, "name 'Thing' is not defined", "TYPE_CHECKING"),
    ("rows", {}, "str string[] is not one row an item", "return a list"),
    ("rest", {}, "by position", "named argument"),
    ("maybe", {}, "may be None", "return a value"),
    ("table", {}, "dict does not tell its keys", "declare them under outputs"),
    ("nothing", {}, "takes no argument", "needs an input"),
    ("none", {}, "None", "write one of"),
    ("one_of_batch", {}, "argument 'y' (array) is one item", "'batch'"),
    ("partly", {}, "key 'b' may be missing", "return every key"),
    ("batch_of_one", {}, "axis 'batch', but the method takes one item", "leave"),
    ("missing", {}, "Model has no method 'missing'", "bare, no_return"),
    ("maybe", {"inputs": {"x": "int64[]"}}, "str does not go with int64", "fits"),
    ("maybe", {"inputs": {"x": "string[n]"}}, "str has 0 axes", "agree"),
]


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    folder = lay_out(tmp_path_factory.mktemp("bad") / "1", model=BAD)
    for name, text in {
        "syntax": "x = 1\nclass Model(:\n",
        "missing": "import os\nimport nosuchpackage.inner\n",
        "raises": "def f():\n    return 1 / 0\nf()\n",
        "exits": "import sys\nsys.exit(3)\n",
        "string": "x = 1\n",
    }.items():
        (folder / "source" / f"{name}.py").write_text(text)
    with Worker(folder) as worker:

        def ask(reference="model.py:Model", methods=(), init=("size",), inputs=None, outputs=None):
            found = worker.ok(
                "describe",
                reference=reference,
                init=list(init),
                methods=list(methods),
                inputs=inputs or {},
                outputs=outputs or {},
            )
            return found["problems"]

        yield ask


@pytest.mark.parametrize(("name", "declared", "found", "remedy"), PROBLEMS)
def test_what_is_wrong_with_a_method(bad, name, declared, found, remedy):
    (problem,) = bad(methods=[name], **declared)
    at = "class Model" if name == "missing" else f"def {name}("
    assert problem["where"] == line_of(BAD, at)
    assert found in problem["found"]
    assert remedy in problem["remedy"]


def test_all_problems_are_told_at_once(bad):
    found = bad(methods=["bare", "no_return", "array"], init=("size", "speed"))
    places = [line_of(BAD, f"def {name}(") for name in ("__init__", "bare", "no_return", "array")]
    assert [problem["where"] for problem in found] == places
    assert "takes no 'speed'" in found[0]["found"]


@pytest.mark.parametrize(
    ("reference", "where", "found", "remedy"),
    [
        ("nofile.py:Model", "nofile.py", "does not exist", "relative to the model.yaml"),
        ("model.py:Modell", "model.py", "has no class 'Modell'", "Model"),
        ("model.py:function", "model.py", "names no class: 'function'", "Model"),
        ("syntax.py:Model", "syntax.py:2", "SyntaxError", "correct that line"),
        ("missing.py:Model", "missing.py:2", "No module named 'nosuchpackage'", "requirements"),
        ("raises.py:Model", "raises.py:2", "ZeroDivisionError: division by zero", "correct"),
        ("exits.py:Model", "exits.py:2", "SystemExit: 3", "correct"),
        ("string.py:Model", "string.py", "already imported", "another name"),
    ],
)
def test_a_class_that_cannot_be_imported(bad, reference, where, found, remedy):
    (problem,) = bad(reference)
    assert problem["where"] == where
    assert found in problem["found"]
    assert remedy in problem["remedy"]


def test_init_must_get_what_it_needs(bad):
    (problem,) = bad(init=())
    assert (problem["where"], problem["remedy"]) == (
        line_of(BAD, "def __init__"),
        "write init: {size: ...} in the model.yaml, or give it a default",
    )


def test_a_declaration_that_no_method_has(describe):
    (problem,) = describe("item", inputs={"z": "float32[3]"})
    assert problem["where"] == "model.yaml: inputs.z"
    assert problem["remedy"] == "it has x"
