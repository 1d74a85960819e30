"""Inferences as bytes on gRPC's wire, held against protobuf's own reading and writing of them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from nosclient._call import Call, SequenceStep, Tensor
from nosclient._errors import InvalidInput, NosClientError
from nosclient._grpc_inference import _MOST_LAYOUTS, Layouts
from nosclient._grpc_messages import read_answer, request_message

URL = "grpc://server:1"
ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)
LARGE = np.arange(300_000, dtype=np.float64).reshape(1, -1)


def call(*tensors, **more):
    return Call("infer", None, "model", "", tensors or (Tensor("x", "FP32", ROWS),), **more)


CALLS = {
    "small": call(),
    "large": call(Tensor("x", "FP64", LARGE)),
    "several": call(Tensor("x", "FP32", ROWS), Tensor("n", "INT64", np.array([[7]]))),
    "strings": call(Tensor("x", "BYTES", np.array([[b"a", b"", b"\x00b" * 90]], object))),
    "bfloat16": call(Tensor("x", "BF16", np.array([[1.5, -2.0]], np.float32))),
    "not in order": call(Tensor("x", "FP32", ROWS.T)),
    "every second": call(Tensor("x", "FP32", ROWS[:, ::2])),
    "empty": call(Tensor("x", "FP32", np.zeros((1, 0), np.float32))),
    "no axes": call(Tensor("x", "FP32", np.float32(3).reshape(()))),
    "no tensors": Call("infer", None, "model"),
    "version and outputs": call(outputs=["y", "z"])._replace(version="3"),
    "deadline": call()._replace(timeout=1.5),
    "parameters": call(parameters={"a": 1, "b": "two", "c": 3.0, "d": True}, priority=2),
    "sequence": call(sequence=SequenceStep(7, start=True, end=False), request_id="r"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_request_reads_as_protobuf_writes_it(name):
    layouts = Layouts()
    for _ in range(2):  # the second is made of what the first left behind
        message = layouts.of(CALLS[name]).message(CALLS[name], URL)
        read = service_pb2.ModelInferRequest.FromString(message)
        assert read == request_message(CALLS[name], URL)


def test_requests_of_one_shape_do_not_share_contents():
    layouts = Layouts()
    for factor in (1, 2, 3):
        of_this = call(Tensor("x", "FP32", ROWS * factor))
        read = service_pb2.ModelInferRequest.FromString(layouts.of(of_this).message(of_this, URL))
        assert read.raw_input_contents[0] == (ROWS * factor).tobytes()


def test_what_differs_in_more_than_contents_shares_nothing():
    others = [
        call(),
        call(Tensor("x", "FP32", ROWS[:2])),
        call(Tensor("x", "INT32", ROWS)),
        call(Tensor("y", "FP32", ROWS)),
        call(outputs=["y"]),
        call(outputs=["z"]),
        call()._replace(version="1"),
        call()._replace(model="other"),
    ]
    layouts = Layouts()
    assert len({layouts.of(other) for other in others}) == len(others)
    assert layouts.of(call()) is layouts.of(call(Tensor("x", "FP32", ROWS + 1)))


def test_layouts_are_not_kept_without_end():
    layouts = Layouts()
    for size in range(3 * _MOST_LAYOUTS):
        layouts.of(call(Tensor("x", "FP32", np.zeros((1, size), np.float32))))
    assert len(layouts._known) <= _MOST_LAYOUTS


def test_a_reserved_parameter_is_refused():
    of_this = call(parameters={"timeout": 1})
    with pytest.raises(InvalidInput, match="timeout"):
        Layouts().of(of_this).message(of_this, URL)


def response(*tensors, **more):
    message = service_pb2.ModelInferResponse(model_name="model", model_version="1", **more)
    for name, datatype, array in tensors:
        message.outputs.add(name=name, datatype=datatype, shape=array.shape)
        content = array.tobytes() if datatype != "BYTES" else b"\x03\x00\x00\x00abc"
        message.raw_output_contents.append(content)
    return message


def random(*shape):
    return np.random.default_rng(sum(shape)).random(shape, np.float32)


WORD = np.empty((1, 1), object)
Y, N = ("y", "FP32", random(2, 3)), ("n", "INT64", np.array([[1 << 40]]))
ANSWERS = {
    "one": [response(Y), response(("y", "FP32", random(2, 3) + 1))],
    "several": [response(Y, N), response(("y", "FP32", -Y[2]), N)],
    "large": [response(("y", "FP32", random(1, 300_000)), N)] * 2,
    "strings": [response(("y", "BYTES", WORD), N)] * 2,
    "empty": [response(("y", "FP32", random(1, 0)), N)] * 2,
    "no outputs": [response()] * 2,
    "another shape": [response(Y), response(("y", "FP32", random(3, 3))), response(Y)],
    "another name": [response(Y), response(("z", "FP32", random(2, 3)))],
    "another dtype": [response(Y), response(("y", "INT32", np.ones((2, 3), np.int32)))],
    "one more": [response(Y), response(Y, N), response(Y)],
    "an id, which is new each time": [response(Y), response(Y, id="1"), response(Y, id="22")],
    "other parameters": [
        response(Y),
        response(Y, parameters={"p": service_pb2.InferParameter(int64_param=3)}),
    ],
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_what_protobuf_reads_whatever_came_before_it(name):
    layout = Layouts().of(call())
    for message in ANSWERS[name] * 2:
        found = layout.answer(message.SerializeToString(), call(), URL)
        wanted = read_answer(message)
        assert list(found) == list(wanted)
        for output, array in wanted.items():
            assert found[output].dtype == array.dtype
            assert found[output].flags.aligned
            np.testing.assert_array_equal(found[output], array)


def test_an_answer_keeps_its_values_when_the_next_one_comes():
    layout = Layouts().of(call())
    given = [random(2, 3) + step for step in range(4)]
    found = [
        layout.answer(response(("y", "FP32", y)).SerializeToString(), call(), URL)["y"]
        for y in given
    ]
    for y, array in zip(given, found, strict=True):
        np.testing.assert_array_equal(array, y)


def test_fields_in_another_order_are_read_as_well():
    head, content = response(), response(Y)
    content.ClearField("model_name")
    content.ClearField("outputs")
    head.outputs.add(name="y", datatype="FP32", shape=Y[2].shape)
    layout = Layouts().of(call())
    usual = response(Y).SerializeToString()
    for sent in (content.SerializeToString() + head.SerializeToString(), usual) * 2:
        np.testing.assert_array_equal(layout.answer(sent, call(), URL)["y"], Y[2])


def test_what_comes_after_the_contents_is_not_passed_over():
    layout = Layouts().of(call())
    first = response(Y).SerializeToString()
    layout.answer(first, call(), URL)
    more = service_pb2.ModelInferResponse(raw_output_contents=[N[2].tobytes()])
    more.outputs.add(name="n", datatype="INT64", shape=N[2].shape)
    found = layout.answer(first + more.SerializeToString(), call(), URL)
    assert list(found) == ["y", "n"]
    np.testing.assert_array_equal(found["n"], N[2])


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("cut", [1, 7, 23])
def test_an_answer_that_is_cut_off_is_an_error_of_ours(known, cut):
    layout = Layouts().of(call())
    whole = response(Y).SerializeToString()
    if known:
        layout.answer(whole, call(), URL)
    with pytest.raises(NosClientError, match="deserializ"):
        layout.answer(whole[:-cut], call(), URL)


def test_contents_of_another_size_than_declared_are_an_error_of_ours():
    wrong = response(Y)
    wrong.raw_output_contents[0] += b"\0\0\0\0"
    with pytest.raises(NosClientError, match="deserializing"):
        Layouts().of(call()).answer(wrong.SerializeToString(), call(), URL)


def test_threads_whose_answers_differ_do_not_get_in_each_others_way():
    layout = Layouts().of(call())
    foretold = response(Y).SerializeToString()
    words = response(("y", "BYTES", WORD)).SerializeToString()

    def read(sent, dtype):
        for _ in range(3000):
            assert layout.answer(sent, call(), URL)["y"].dtype == dtype

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(read, *one) for one in ((foretold, np.float32), (words, object)) * 2]
        for future in done:
            future.result()
