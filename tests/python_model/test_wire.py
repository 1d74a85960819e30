"""Messages between a build and a model's Python survive the pipe, whatever they hold."""

from __future__ import annotations

import io

import numpy as np
import pytest

from nosbuild.inside_triton.python_model.nos_python_model.wire import read_message, write_message

DTYPES = ("bool", "uint8", "uint64", "int8", "int64", "float16", "float32", "float64")


def through(message):
    pipe = io.BytesIO()
    write_message(pipe, message)
    write_message(pipe, "after")
    pipe.seek(0)
    found = read_message(pipe)
    assert read_message(pipe) == "after"  # not one byte too many or too few
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (2, 0, 4)])
def test_arrays_keep_dtype_shape_and_values(dtype, shape):
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    found = through({"a": [array]})["a"][0]
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)
    found[...] = 1  # may be written to


def test_other_byte_orders_and_layouts_arrive_as_this_machines():
    array = np.arange(6, dtype=">i4").reshape(2, 3).T
    found = through(array)
    assert found.dtype == np.dtype("int32")
    np.testing.assert_array_equal(found, array)


def test_strings_keep_zero_bytes_and_text():
    array = np.empty((2, 2), dtype=object)
    array[:] = [[b"\x00a\x00", "grüße"], ["", b"\xff"]]
    found = through(array)
    assert found.tolist() == [[b"\x00a\x00", "grüße".encode()], [b"", b"\xff"]]
    assert through(np.array(["ab", "c"])).tolist() == [b"ab", b"c"]
    word = np.empty((), dtype=object)
    word[()] = "x"
    assert through(word).shape == ()


def test_what_is_no_array_is_kept():
    message = {"do": "x", "n": 1, "none": None, "list": [True, {"deep": [1.5]}]}
    assert through(message) == message
    assert through({"n": np.float32(2)})["n"] == 2


@pytest.mark.parametrize(
    "bad", [np.zeros(2, complex), np.array([None], dtype=object), {1: 2}, object()]
)
def test_what_cannot_be_sent_is_refused_before_anything_is_written(bad):
    pipe = io.BytesIO()
    with pytest.raises(TypeError):
        write_message(pipe, {"a": bad} if not isinstance(bad, dict) else bad)
    assert pipe.getvalue() == b""


def test_an_end_in_the_middle_is_an_error():
    pipe = io.BytesIO()
    write_message(pipe, np.zeros(100))
    cut = io.BytesIO(pipe.getvalue()[:-1])
    with pytest.raises(EOFError):
        read_message(cut)
    with pytest.raises(EOFError):
        read_message(io.BytesIO())
