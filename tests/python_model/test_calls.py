"""What reaches the user's method and what comes back: alone, joined, padded, failing, awaited."""

from __future__ import annotations

import io

import numpy as np
import pytest
from called_class import CODE, TOOLS
from PIL import Image

from nosbuild.inside_triton.python_model.nos_python_model.binding import (
    make_binding,
    write_binding,
)
from python_versions import ADAPTER, Worker, lay_out, line_of, strings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("calls") / "1", model=CODE, tools=TOOLS)


@pytest.fixture(scope="module")
def worker(folder):
    with Worker(folder, echo) as worker:
        yield worker


def echo(ask):
    """Other models, as a build answers for them."""
    if ask["name"] not in ("echo", "a.b"):
        return {"failure": "no such model"}
    text = ask["inputs"]["text"]
    if ask["stream"]:
        return {"chunks": [{"text": strings(part)} for part in text.item().decode()]}
    if text.item() == b"broken":
        return {"failure": "it broke"}
    return {"outputs": {"text": text}}


class Method:
    """One method of the class, made in the worker."""

    def __init__(self, worker, binding):
        self.worker, self.binding = worker, binding

    def adapted(self, *requests):
        return [
            answer["outputs"] if "outputs" in answer else answer["error"]
            for answer in self.worker.ok("adapted", requests=list(requests))
        ]

    def one(self, **request):
        (answer,) = self.adapted({name: np.asarray(array) for name, array in request.items()})
        return answer

    def direct(self, **item):
        return self.worker.ok("direct", inputs=item)


@pytest.fixture
def method(worker, folder):
    def make(name, init=None, batched=True, pad=None, models=None, **declared):
        described = worker.ok(
            "describe",
            reference="model.py:Model",
            init=list(init or {}),
            methods=[name],
            inputs=declared,
            outputs={},
        )
        assert "problems" not in described, described
        binding = make_binding(
            described,
            "model.py:Model",
            name,
            init=init or {},
            batched=batched,
            pad=pad or {},
            models=models or {},
        )
        write_binding(folder, binding)
        worker.ok("construct", device="cpu")
        return Method(worker, binding)

    return make


def words(array):
    return [item.decode() for item in array.reshape(-1)]


def test_an_item_at_a_time_in_a_batch_of_any_size(method):
    upper = method("upper")
    found = upper.one(text=strings("a", "ü"))["output"]
    assert words(found) == ["A!", "Ü!"]
    assert found.shape == (2,)
    assert upper.one(text=strings("a").reshape(1, 1))["output"].shape == (1,)  # with an axis, too
    assert upper.direct(text=strings("ü").reshape(()))["output"].shape == ()


def test_plain_values_arrive_as_pythons_own(method):
    found = method("kinds").one(
        raw=strings(b"\xff\0"), n=np.array([2]), x=np.array([0.5]), yes=np.array([True])
    )
    assert found["raw"].tolist() == [b"\xff\0\0\0"]
    assert found["odd"].tolist() == [True]
    assert found["odd"].dtype == bool


def test_arguments_that_are_left_out_take_their_default(method):
    options = method("options")
    assert words(options.one(text=strings("a", "b"))["output"]) == ["aaNone", "bbNone"]
    found = options.one(text=strings("a"), times=np.array([3]), end=strings("."))
    assert words(found["output"]) == ["aaa'.'"]
    nullable = method("nullable")
    assert words(nullable.one(text=strings("a"))["output"]) == ["aNone"]


def test_answers_of_several_parts(method):
    found = method("scored").one(text=strings("abc", "d"))
    assert words(found["label"]) == ["abc", "d"]
    assert found["score"].dtype == np.float32
    np.testing.assert_allclose(found["score"], [1, 1 / 3], rtol=1e-6)
    found = method("stats").one(numbers=np.array([[1, 2]], np.float32))
    assert {name: array.shape for name, array in found.items()} == {
        "size": (1,),
        "mean": (1,),
        "words": (1, 2),
    }
    found = method("records").one(texts=strings("abc", "d"))
    assert words(found["label"]) == ["abc", "d"]
    assert found["score"].shape == (2,)


def test_images_in_and_out(method):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    image = method("image")
    np.testing.assert_array_equal(image.one(page=strings(file.getvalue()))["output"][0], pixels)
    broken = image.one(page=strings(b"no image"))
    assert broken["type"] == "BadInput"
    assert broken["message"].startswith("input 'page': is no image that Pillow can read")
    (small,) = method("thumbnail").one(page=strings(file.getvalue()))["output"]
    assert Image.open(io.BytesIO(small)).size == (2, 2)


def test_text_that_is_none_is_the_callers_fault(method):
    found = method("upper").one(text=strings(b"\xff"))
    assert (found["type"], found["where"]) == ("BadInput", "")
    assert "input 'text' is not UTF-8" in found["message"]


def test_string_arrays_hold_text(method):
    found = method("texts").one(words=strings("a", "ü").reshape(1, 2))
    assert words(found["output"]) == ["ü", "a"]


def test_equal_shapes_become_one_call_and_others_do_not(method):
    sizes = method("sizes")
    found = sizes.adapted(
        {"texts": strings("a", "b")},
        {"texts": strings("c")},
        {"texts": strings("d"), "scale": np.array([10])},  # another option, another call
        {"texts": strings("e"), "scale": np.array([10])},
        {"texts": strings("f")},
    )
    assert [answer["output"].tolist() for answer in found] == [[4, 4], [4], [20], [20], [4]]
    differ = sizes.one(texts=strings("a", "b"), scale=np.array([1, 2]))
    assert "input 'scale' is one value for the whole call" in differ["message"]


def test_arrays_of_equal_shape_are_joined_and_each_request_gets_its_rows(method):
    doubled = method("doubled")
    x = np.arange(9, dtype=np.float32).reshape(3, 3)
    found = doubled.adapted({"x": x[:2]}, {"x": x[2:]})
    np.testing.assert_array_equal(np.concatenate([a["output"] for a in found]), x * 2)


def test_lists_are_joined_whatever_their_lengths(method):
    found = method("ragged").adapted({"rows": np.array([[1, 2, 3]])}, {"rows": np.array([[4]])})
    assert [answer["output"].tolist() for answer in found] == [[2006], [2004]]


@pytest.mark.parametrize("pad", [None, {"ids": -7}])
def test_unequal_shapes_are_joined_only_when_padding_is_told(method, pad):
    padded = method("padded", pad=pad)
    found = padded.adapted({"ids": np.array([[1, 2, 3]])}, {"ids": np.array([[4], [5]])})
    longest = [3, 3] if pad else [3, 1]
    for answer, ids, seen in zip(found, ([[1, 2, 3]], [[4], [5]]), longest, strict=True):
        # Cut to the request's own length again; the method saw the longest of its call.
        np.testing.assert_array_equal(answer["output"][..., 0], ids)
        assert (answer["output"][..., 1] == seen).all()


@pytest.mark.parametrize("name", ["letters", "slow_letters"])
def test_answers_of_unequal_size_are_filled_up_when_padding_is_told(method, name):
    letters = method(name, pad={"output": "-"})
    found = letters.one(text=strings("ab", "", "c"))["output"]
    assert [words(row) for row in found] == [["a", "b"], ["-", "-"], ["c", "-"]]
    assert [words(one["output"]) for one in letters.adapted({"text": strings("xyz")})] == [
        ["x", "y", "z"]  # alone: as the method gave it
    ]
    first, bad, last = letters.adapted(
        {"text": strings("ab")}, {"text": strings(b"\xff")}, {"text": strings("c", "d")}
    )
    assert words(first["output"]) == ["a", "b"]
    assert bad["type"] == "BadInput"
    assert words(last["output"]) == ["c", "-", "d", "-"]  # those beside it have two


def test_every_axis_that_varies_is_filled_up_and_no_other(method):
    grid = method("grid", pad={"output": float("-inf")})
    found = grid.one(n=np.array([1, 3]))["output"]
    assert (found.shape, found.dtype) == ((2, 3, 2, 3), np.float32)
    assert (found[0, :1] == 1).all()
    assert (found[0, 1:] == -np.inf).all()
    assert (found[1, ..., :1] == 1).all()
    assert (found[1, ..., 1:] == -np.inf).all()
    assert "differ in shape" in grid.one(n=np.array([0, 1]))["message"]  # it gives [0, 3, 4]


def test_a_whole_batch_may_be_answered_in_rows_of_unequal_length(method):
    requests = {"texts": strings("a", "bc")}, {"texts": strings("")}
    found = method("codes", pad={"output": 0}).adapted(*requests)
    assert [one["output"].tolist() for one in found] == [[[97, 0], [98, 99]], [[0, 0]]]
    assert "differ in shape" in method("codes").adapted(*requests)[0]["message"]
    found = method("longest", pad={"output": -1}).adapted(*requests)
    assert [one["output"].tolist() for one in found] == [[[97, -1], [98, 99]], [[-1, -1]]]


def test_only_the_guilty_fail_with_their_own_error(method):
    upper = method("upper")
    found = upper.adapted(*({"text": strings(word)} for word in ("a", "bad 1", "b", "exit 2")))
    assert words(found[0]["output"]) == ["A!"]
    assert words(found[2]["output"]) == ["B!"]
    assert (found[1]["type"], found[1]["message"], found[1]["where"]) == (
        "KeyError",
        "'no bad 1'",
        line_of(CODE, "raise KeyError"),
    )
    assert "raise KeyError" in found[1]["traceback"]
    assert (found[3]["type"], found[3]["message"]) == ("SystemExit", "exit 2")


def test_a_joined_call_that_fails_is_repeated_for_each_request(method):
    doubled = method("doubled")
    one = np.ones((1, 3), np.float32)
    found = doubled.adapted({"x": one}, {"x": -one}, {"x": one})
    assert found[1]["message"] == "3 negative of 1"
    np.testing.assert_array_equal(found[0]["output"], one * 2)
    np.testing.assert_array_equal(found[2]["output"], one * 2)
    alone = doubled.one(x=-one)
    assert alone["message"] == "3 negative of 1"


@pytest.mark.parametrize(
    ("name", "request_", "message"),
    [
        ("wrong", {"n": np.array([0])}, "declared int64, the method returned float64"),
        ("wrong", {"n": np.array([1])}, "declared int64, the method returned NoneType None"),
        ("wrong", {"n": np.array([2])}, "declared int64, the method returned str 'text'"),
        ("wrong", {"n": np.array([3])}, "declared int64, the method returned int 11805"),
        ("wrong_shape", {"n": np.array([3])}, "has shape [3] an item, declared is [2]"),
        ("letters", {"text": strings("ab", "c")}, "one by one, or name output under pad:"),
        ("zeros", {"n": np.array([1, 2])}, "one by one, or name output under pad:"),
        ("short", {"texts": strings("a", "b")}, "has 1 rows for a batch of 2"),
    ],
)
def test_answers_that_are_not_what_was_declared(method, name, request_, message):
    assert message in method(name).one(**request_)["message"]


def test_what_can_be_sent_without_loss_is(method):
    found = method("wrong").one(n=np.array([4, 5]))["output"]
    assert (found.tolist(), found.dtype) == ([4, 1], np.int64)


def test_async_requests_run_at_the_same_time(method):
    slow = method("slow")
    requests = [{"text": strings("a", "b")}, {"text": strings("bad")}, {"text": strings("c")}]
    first, bad, last = slow.adapted(*requests)
    begun = [int(word.split()[1]) for word in [*words(first["output"]), *words(last["output"])]]
    all_seen = {int(word.split()[3]) for word in [*words(first["output"]), *words(last["output"])]}
    assert len(all_seen) == 1  # every one had begun before the first was done
    assert sorted(begun)[-1] <= all_seen.pop()
    assert (bad["type"], bad["message"]) == ("ValueError", "bad")
    found = method("slow_batch").adapted({"texts": strings("a", "b")}, {"texts": strings("c")})
    assert [answer["output"].tolist() for answer in found] == [[3, 3], [3]]


def test_without_a_batch_axis(method):
    upper = method("upper", batched=False)
    assert words(upper.one(text=strings("a"))["output"]) == ["A!"]
    stats = method("stats", batched=False)
    assert stats.one(numbers=np.zeros(3, np.float32))["words"].shape == (3,)
    sizes = method("sizes", batched=False)
    found = sizes.adapted({"texts": strings("a", "b")}, {"texts": strings("c")})
    assert [answer["output"].tolist() for answer in found] == [[2, 2], [1]]  # never joined
    assert sizes.direct(texts=strings("a", "b"))["output"].tolist() == [2, 2]


def test_streams_are_lists_of_chunks(method):
    stream = method("stream", batched=False)
    assert [words(chunk["output"]) for chunk in stream.one(text=strings("ab"))] == [["a"], ["b"]]
    assert stream.one(text=strings("a!"))["message"] == "no shouting"
    later = method("later", batched=False)
    assert [words(chunk["label"]) for chunk in later.direct(text=strings("ab"))] == [["a"], ["b"]]


def test_the_direct_call_agrees_with_the_adapted_one(method):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    doubled = method("doubled")
    for row, expected in zip(x, doubled.one(x=x)["output"], strict=True):
        np.testing.assert_array_equal(doubled.direct(x=row)["output"], expected)
    with pytest.raises(AssertionError, match="3 negative of 1"):
        doubled.direct(x=-x[1])


MODELS = {"echo": {"inputs": {"text": {"dtype": "string", "shape": [-1, 1]}, "n": {}}}, "a.b": {}}


def test_other_models_are_asked_of_the_build(method, worker):
    called = method("called", models=MODELS)
    assert words(called.one(text=strings("hi"))["output"]) == ["hicpu"]
    # A list of words is a batch of items with one element each, as a client may send it.
    assert words(method("called_flat", models=MODELS).one(text=strings("hi"))["output"]) == [
        "(1, 1)(1, 1)hi"
    ]
    broken = called.one(text=strings("broken"))
    assert (broken["type"], broken["message"]) == ("ModelCallError", "model 'echo': it broke")
    assert words(method("called_together", models=MODELS).one(text=strings("abc"))["output"]) == [
        "abc"
    ]
    assert words(method("called_stream", models=MODELS).one(text=strings("xy"))["output"]) == ["xy"]
    unknown = method("called", models={"other": {}}).one(text=strings("hi"))
    assert unknown["message"] == "no model 'echo' under models in the model.yaml (there: other)"


def test_init_that_raises_tells_the_line(method, worker):
    with pytest.raises(AssertionError, match="size must not be negative"):
        method("upper", init={"size": -1})
    error = worker.order("construct", device="cpu")["error"]
    assert (error["type"], error["where"]) == (
        "ValueError",
        line_of(CODE, "size must not be negative"),
    )


def test_a_message_that_cannot_be_made_or_sent_is_an_error_all_the_same(method):
    found = method("unspeakable").one(text=strings("a"))
    assert (found["type"], found["message"]) == (
        "Unspeakable",
        "(no message: its __str__ raises SystemExit)",
    )


def test_close_is_called_and_the_worker_ends(folder, method, worker):
    method("upper")
    with Worker(folder) as other:
        other.ok("construct", device="cpu")
        other.ok("close")
        assert other.process.wait(10) == 0
    assert (folder / "source/closed").exists()
    assert not list(folder.rglob("__pycache__"))


def test_a_class_that_calls_models_needs_nothing_of_ours(folder, monkeypatch):
    """What a user's own unit test does."""
    import importlib.util
    from types import SimpleNamespace

    monkeypatch.syspath_prepend(folder / "source")
    spec = importlib.util.spec_from_file_location("a_users_model", folder / "source/model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    models = SimpleNamespace(echo=lambda text, n: {"text": np.array([[b"said"]], dtype=object)})
    assert module.Model(models=models, device="!").called("hi") == "said!"
    assert ADAPTER.name not in CODE
