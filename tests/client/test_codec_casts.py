"""Which dtypes become which: ``strict=False``, bfloat16, arrays of objects, masks, buffers."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from nosclient import AsyncClient, Client, InvalidInput, TensorInfo
from nosclient._codec import encode
from nosclient._model_info import Signature

FLOAT32_MAX = np.finfo(np.float32).max


def encoded(datatype, value, strict=False, shape=(-1,)):
    inputs = (TensorInfo("x", datatype, shape),)
    signature = Signature("m", ("1",), "", "", inputs, (), 0, False, "")
    [tensor] = encode(signature, {"x": value}, strict=strict)
    return tensor.array


@pytest.mark.parametrize(
    ("datatype", "value", "expected"),
    [
        ("FP32", np.array([0.1, np.inf, np.nan]), [np.float32(0.1), np.inf, np.nan]),
        ("FP16", np.array([0.1], np.float32), [np.float16(0.1)]),
        ("FP32", np.array([2**24 + 1]), [2**24]),
        ("FP64", np.array([2**53 + 1]), [2**53]),
        ("FP16", np.array([1, 2], np.uint64), [1, 2]),
        ("INT32", np.array([-5, 7]), [-5, 7]),
        ("UINT8", np.array([255, 0]), [255, 0]),
        ("INT64", np.array([3], np.uint64), [3]),
        ("INT8", np.array([True]), [1]),
        ("INT8", np.zeros(0, np.int64), []),
        ("FP32", np.zeros(0, np.float64), []),
        ("BF16", np.array([0.1], np.float64), [ml_dtypes.bfloat16(0.1)]),
        ("BF16", np.array([0.1], np.float32), [ml_dtypes.bfloat16(0.1)]),
        ("BF16", np.array([257]), [256]),
        ("FP16", np.array([0.1], ml_dtypes.bfloat16), [np.float16(ml_dtypes.bfloat16(0.1))]),
    ],
)
def test_a_client_that_is_not_strict_rounds(datatype, value, expected):
    array = encoded(datatype, value)
    assert array.dtype == TensorInfo("", datatype, ()).dtype
    np.testing.assert_array_equal(array, np.array(expected, array.dtype))
    if value.size and not (datatype == "INT8" and value.dtype == np.bool_):
        with pytest.raises(InvalidInput, match=r"strict=False does so by itself"):
            encoded(datatype, value, strict=True)


@pytest.mark.parametrize(
    ("datatype", "value", "words"),
    [
        ("INT32", np.array([1, 2**31]), "holds 2147483648; INT32 takes -2147483648 to 2147483647"),
        ("UINT8", np.array([-1]), "holds -1; UINT8 takes 0 to 255"),
        ("INT64", np.array([2**63], np.uint64), "holds 9223372036854775808"),
        ("FP32", np.array([1e300]), "holds 1e+300, too large for FP32"),
        ("FP16", np.array([70000]), "holds 70000, too large for FP16"),
        ("BF16", np.array([FLOAT32_MAX]), "too large for BF16"),
        ("INT64", np.array([1.0]), ".astype(np.int64)"),
        ("BOOL", np.array([1]), ".astype(bool)"),
        ("FP32", np.array([1j]), ".astype(np.float32)"),
        ("FP32", np.array(["1"]), "is <U1, the model takes FP32"),
        ("BYTES", np.array([1]), "holds int 1; BYTES takes str and bytes"),
        ("INT64", [1.0], "fractional numbers"),
        ("INT64", np.array(["2020-01-01"], "M8[D]"), "is datetime64[D]"),
    ],
)
def test_what_no_client_casts(datatype, value, words):
    with pytest.raises(InvalidInput) as caught:
        encoded(datatype, value)
    assert words in str(caught.value)
    assert f"expected m(x: {datatype}[-1])" in str(caught.value)


def test_clients_are_strict_unless_told():
    for kind in (Client, AsyncClient):
        assert kind("localhost:1")._operations._strict
        assert not kind("localhost:1", strict=False)._operations._strict


def test_bfloat16_from_float32_that_holds_such_values():
    exact = np.array([1.5, -0.0, np.inf, np.nan, 2.0**-130], np.float32)
    for value in (exact, exact.astype(">f4"), exact[::-1][::-1]):
        array = encoded("BF16", value, strict=True)
        assert array.dtype == ml_dtypes.bfloat16
        np.testing.assert_array_equal(array.astype(np.float32), exact)
    own = exact.astype(ml_dtypes.bfloat16)
    assert encoded("BF16", own, strict=True) is own
    with pytest.raises(InvalidInput, match=r"holds 0\.1.*, which BF16 cannot hold exactly: pass"):
        encoded("BF16", np.array([1, 0.1], np.float32), strict=True)
    assert encoded("BF16", [0.1, 1], strict=True).tolist() == [ml_dtypes.bfloat16(0.1), 1]
    assert encoded("FP32", own, strict=True).dtype == np.float32
    with pytest.raises(InvalidInput, match=r"pass \.astype\(ml_dtypes\.bfloat16\)"):
        encoded("BF16", np.array([1], np.float16), strict=True)


def test_bfloat16_where_float32_stands_for_it(monkeypatch):
    # tritonclient before 26.06 takes float32 and cuts it: the rounding is ours.
    import tritonclient.utils

    monkeypatch.setattr(tritonclient.utils, "triton_to_np_dtype", lambda name: np.float32)
    random = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    random[:4] = [np.nan, np.inf, -np.inf, 0]
    array = encoded("BF16", random)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, random.astype(ml_dtypes.bfloat16).astype(np.float32))
    np.testing.assert_array_equal(encoded("BF16", array, strict=True), array)
    assert encoded("BF16", [0.1], strict=True).tolist() == [float(ml_dtypes.bfloat16(0.1))]
    with pytest.raises(InvalidInput, match="cannot hold exactly"):
        encoded("BF16", random, strict=True)
    with pytest.raises(InvalidInput, match="too large for BF16"):
        encoded("BF16", np.array([FLOAT32_MAX]))


def test_an_array_that_fits_is_not_copied():
    array = np.ones((4, 4), np.float32)
    array.setflags(write=False)
    assert encoded("FP32", array, strict=True, shape=(-1, -1)) is array
    view = array.T[::2]
    assert encoded("FP32", view, strict=True, shape=(-1, -1)) is view


def test_arrays_of_objects_hold_plain_values():
    assert encoded("FP32", np.array([1, 2.5], object), strict=True).tolist() == [1, 2.5]
    assert encoded("INT64", np.array([[1, 2]], object), True, (-1, -1)).tolist() == [[1, 2]]
    assert encoded("BYTES", np.array(["a", b"\0"], object), strict=True).tolist() == [b"a", b"\0"]
    with pytest.raises(InvalidInput, match="NoneType objects; FP32 takes numbers"):
        encoded("FP32", np.array([1, None], object))
    ragged = np.empty(2, object)
    ragged[:] = [[1], [2, 3]]
    with pytest.raises(InvalidInput, match="is ragged"):
        encoded("FP32", ragged)


def test_masked_arrays():
    masked = np.ma.masked_array(np.ones(2, np.float32), [True, False])
    with pytest.raises(InvalidInput, match=r"masked elements: pass \.filled\(value\)"):
        encoded("FP32", masked)
    assert encoded("FP32", np.ma.masked_array(np.ones(2, np.float32))).tolist() == [1, 1]


@pytest.mark.parametrize("value", [bytearray(b"a\0b"), memoryview(b"a\0b")])
def test_buffers_are_bytes(value):
    assert encoded("BYTES", value, shape=(1,)).tolist() == [b"a\0b"]


@pytest.mark.parametrize("value", [{"a": 1}, object(), {1, 2}])
def test_what_is_no_array_at_all(value):
    with pytest.raises(InvalidInput, match="objects; FP32 takes numbers"):
        encoded("FP32", value, shape=(1,))
