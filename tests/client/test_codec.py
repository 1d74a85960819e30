"""Inputs against a signature: what is taken, what is cast, what is refused with which words."""

from __future__ import annotations

import numpy as np
import pytest

from nosclient import InvalidInput, TensorInfo
from nosclient._codec import check_outputs, encode
from nosclient._model_info import Signature


def signature(*inputs: TensorInfo, max_batch_size: int = 0) -> Signature:
    outputs = (TensorInfo("y", "FP32", (-1,)), TensorInfo("z", "FP32", (-1,)))
    return Signature("m", ("1",), "", "", inputs, outputs, max_batch_size, False, "")


def encoded(datatype, shape, value):
    [tensor] = encode(signature(TensorInfo("x", datatype, shape)), {"x": value})
    assert (tensor.name, tensor.datatype) == ("x", datatype)
    return tensor.array


PLAIN = [
    ("FP32", [1, 2.5], np.float32, [1, 2.5]),
    ("FP16", [1, 2.5], np.float16, [1, 2.5]),
    ("FP64", [0.1, 2], np.float64, [0.1, 2]),
    ("FP32", [np.float64(1), np.float64(2)], np.float32, [1, 2]),
    ("FP32", [True, False], np.float32, [1, 0]),
    ("FP32", [float("inf"), 1], np.float32, [np.inf, 1]),
    ("INT64", [1, -2], np.int64, [1, -2]),
    ("INT8", [127, -128], np.int8, [127, -128]),
    ("UINT8", (0, 255), np.uint8, [0, 255]),
    ("UINT64", [0, 2**64 - 1], np.uint64, [0, 2**64 - 1]),
    ("INT32", range(3), np.int32, [0, 1, 2]),
    ("BOOL", [True, False], np.bool_, [True, False]),
    ("INT64", [], np.int64, []),
]


@pytest.mark.parametrize(("datatype", "value", "dtype", "expected"), PLAIN)
def test_plain_values_take_the_models_dtype(datatype, value, dtype, expected):
    array = encoded(datatype, (-1,), value)
    assert array.dtype == dtype
    assert array.tolist() == expected


@pytest.mark.parametrize(
    ("datatype", "value", "words"),
    [
        ("INT64", [1.0, 2.0], "fractional numbers; INT64 takes whole numbers"),
        ("INT64", [-1, 2**64], "holds 18446744073709551616; INT64 takes"),
        ("INT8", [1, 128], "holds 128; INT8 takes -128 to 127"),
        ("UINT8", [-1, 3], "holds -1; UINT8 takes 0 to 255"),
        ("FP16", [1, 70000.0], "holds 70000.0, too large for FP16"),
        ("FP32", ["1.5"], "holds strings; FP32 takes numbers"),
        ("FP32", [1j], "complex"),
        ("FP32", [None], "NoneType objects"),
        ("BOOL", [0, 1], "BOOL takes True and False"),
        ("FP32", [[1, 2], [3]], "is ragged"),
        ("BYTES", ["a", 3], "holds int 3; BYTES takes str and bytes"),
        ("BYTES", [["a"], ["b", "c"]], "holds list"),
    ],
)
def test_plain_values_that_lose_something_are_refused(datatype, value, words):
    with pytest.raises(InvalidInput) as caught:
        encoded(datatype, (-1,), value)
    assert words in str(caught.value)
    assert f"expected m(x: {datatype}[-1])" in str(caught.value)


@pytest.mark.parametrize(
    ("datatype", "dtype"),
    [
        ("FP64", "f4"),
        ("INT64", "i4"),
        ("FP32", "f2"),
        ("INT16", "u1"),
        ("FP32", "i2"),
        ("FP64", "i4"),
        ("FP32", ">f4"),
        ("INT32", "?"),
    ],
)
def test_arrays_are_widened(datatype, dtype):
    array = encoded(datatype, (-1,), np.array([0, 1], dtype=dtype))
    assert array.dtype == TensorInfo("x", datatype, ()).dtype
    assert array.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("datatype", "dtype", "remedy"),
    [
        ("FP32", "f8", ".astype(np.float32)"),
        ("FP32", "i4", ".astype(np.float32)"),
        ("FP64", "i8", ".astype(np.float64)"),
        ("INT32", "i8", ".astype(np.int32)"),
        ("INT64", "u8", ".astype(np.int64)"),
        ("INT64", "f4", ".astype(np.int64)"),
        ("BOOL", "u1", ".astype(bool)"),
        ("FP32", "U3", ".astype(np.float32)"),
    ],
)
def test_arrays_are_never_narrowed(datatype, dtype, remedy):
    with pytest.raises(InvalidInput) as caught:
        encoded(datatype, (-1,), np.zeros(2, dtype=dtype))
    assert remedy in str(caught.value)


def test_numpy_scalars_are_typed():
    with pytest.raises(InvalidInput, match=r"astype\(np.float32\)"):
        encoded("FP32", (1,), np.float64(1))
    assert encoded("FP32", (1,), np.float32(1)).tolist() == [1]


@pytest.mark.parametrize(
    "value",
    [["é", "b"], ["é".encode(), b"b"], np.array(["é", "b"]), np.array(["é", b"b"], dtype=object)],
)
def test_strings_become_bytes(value):
    assert encoded("BYTES", (-1,), value).tolist() == ["é".encode(), b"b"]


def test_trailing_zero_bytes_survive():
    assert encoded("BYTES", (-1,), [b"a\0", b"\0"]).tolist() == [b"a\0", b"\0"]


def test_a_bare_value_is_the_one_element():
    assert encoded("FP32", (1,), 3).shape == (1,)
    assert encoded("BYTES", (-1, 1), "hello").tolist() == [[b"hello"]]
    with pytest.raises(InvalidInput, match="0 axes instead of 1"):
        encoded("FP32", (3,), 3)


def test_one_value_an_item_needs_no_axis_of_its_own():
    batched = signature(TensorInfo("x", "BYTES", (-1, 1)), max_batch_size=8)
    [tensor] = encode(batched, {"x": ["a", "b", "c"]})
    assert tensor.array.tolist() == [[b"a"], [b"b"], [b"c"]]
    [tensor] = encode(batched, {"x": np.array([["a"], ["b"]])})
    assert tensor.array.shape == (2, 1)
    three = signature(TensorInfo("x", "FP32", (-1, 3)), max_batch_size=8)
    with pytest.raises(InvalidInput, match="add the batch axis"):
        encode(three, {"x": [1.0, 2.0, 3.0]})


def test_a_view_is_sent_as_it_reads():
    view = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert encoded("FP32", (3, 2), view).tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize(
    ("shape", "words"), [((3,), "1 axis instead of 2;"), ((4, 3), "axis 1 must be 2")]
)
def test_shapes(shape, words):
    with pytest.raises(InvalidInput) as caught:
        encoded("FP32", (-1, 2), np.zeros(shape, np.float32))
    assert words in str(caught.value)
    assert "m(x: FP32[-1,2])" in str(caught.value)


def test_a_missing_batch_axis_is_named():
    batched = signature(TensorInfo("x", "FP32", (-1, 2)), max_batch_size=4)
    with pytest.raises(InvalidInput, match="1 axis instead of 2, add the batch axis;"):
        encode(batched, {"x": [1, 2]})
    with pytest.raises(InvalidInput, match="3 axes instead of 2;"):
        encode(batched, {"x": [[[1, 2]]]})


def test_a_request_of_a_sequence_is_one_item_with_or_without_the_batch_axis():
    batched = signature(TensorInfo("x", "FP32", (-1, 4)), max_batch_size=8)
    item = np.arange(4, dtype=np.float32)
    for value in (item, item[None], item.tolist()):
        [tensor] = encode(batched, {"x": value}, in_sequence=True)
        assert tensor.array.tolist() == [[0, 1, 2, 3]]
    with pytest.raises(InvalidInput, match="batch of 2: a request of a sequence is one item; send"):
        encode(batched, {"x": np.stack([item, item])}, in_sequence=True)
    with pytest.raises(InvalidInput, match="add the batch axis"):
        encode(batched, {"x": item})


class Picture:
    """As an image of PIL, which numpy takes for the numbers of its pixels."""

    __array_interface__ = np.zeros((2, 2), np.uint8).__array_interface__


@pytest.mark.parametrize("value", [Picture(), [Picture()], [[Picture()]]])
def test_an_image_is_sent_as_the_bytes_of_its_file(value):
    with pytest.raises(InvalidInput) as caught:
        encoded("BYTES", (-1, 1), value)
    assert "holds an object of type Picture; BYTES takes str and bytes, such" in str(caught.value)
    assert "Path(...).read_bytes()" in str(caught.value)


@pytest.mark.parametrize("inputs", [np.ones(2, np.float32), [1.0, 2.0], None])
def test_inputs_without_names(inputs):
    with pytest.raises(InvalidInput) as caught:
        encode(signature(TensorInfo("x", "FP32", (-1,))), inputs)
    assert f"of type {type(inputs).__name__}; pass a mapping, {{'x': ...}}" in str(caught.value)
    assert "m(x: FP32[-1])" in str(caught.value)


def test_names():
    two = signature(TensorInfo("a", "FP32", (1,)), TensorInfo("b", "FP32", (1,), optional=True))
    assert [tensor.name for tensor in encode(two, {"a": 1})] == ["a"]
    with pytest.raises(InvalidInput) as caught:
        encode(two, {"c": 1})
    assert "no input is named 'c'; input 'a' is missing" in str(caught.value)
    assert "m(a: FP32[1], b?: FP32[1])" in str(caught.value)


def test_batches():
    two = signature(
        TensorInfo("a", "FP32", (-1, 2)), TensorInfo("b", "FP32", (-1,)), max_batch_size=4
    )
    one = np.zeros((3, 2), np.float32)
    assert len(encode(two, {"a": one, "b": [1, 2, 3]})) == 2
    with pytest.raises(InvalidInput, match="differ in batch size: a has 3, b has 1"):
        encode(two, {"a": one, "b": [1]})
    with pytest.raises(InvalidInput, match=r"batch of 5: send it in smaller .* batch up to 4"):
        encode(two, {"a": np.zeros((5, 2), np.float32), "b": [0] * 5})
    with pytest.raises(InvalidInput, match="batch of 0"):
        encode(two, {"a": np.zeros((0, 2), np.float32), "b": []})


def test_outputs():
    known = signature()
    check_outputs(known, ["z"])
    with pytest.raises(InvalidInput, match="no output 'w'; its outputs are y, z"):
        check_outputs(known, ["y", "w"])
    with pytest.raises(InvalidInput, match="no output at all"):
        check_outputs(known, [])
