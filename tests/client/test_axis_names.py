"""Names of axes, which a build writes for the client to show and to check."""

import json

import numpy as np
import pytest

from nosclient import InvalidInput
from nosclient._codec import encode, encode_either
from nosclient._model_info import parse_signature
from nosclient.testing import FakeServer

IDS, WEIGHTS = [[1, 2, 3]], [[0.1, 0.2, 0.3]]


def signature(names, max_batch_size=8):
    metadata = {
        "name": "scorer",
        "inputs": [
            {"name": "ids", "datatype": "INT64", "shape": ["-1", "-1"]},
            {"name": "weights", "datatype": "FP32", "shape": ["-1", "-1"]},
            {"name": "bias", "datatype": "FP32", "shape": ["-1", "4"]},
        ],
        "outputs": [{"name": "score", "datatype": "FP32", "shape": ["-1", "-1"]}],
    }
    parameters = {"axis_names": {"string_value": names}}
    config = {"max_batch_size": max_batch_size, "parameters": parameters if names else {}}
    config["input"] = [{"name": "bias", "optional": True}]
    return parse_signature(metadata, config)


NAMES = {"ids": ["batch", "seq"], "weights": ["batch", "seq"], "score": ["batch", "seq"]}


def test_they_are_shown():
    found = signature(json.dumps(NAMES))
    shown = "scorer(ids: INT64[batch,seq], weights: FP32[batch,seq], bias?: FP32[-1,4])"
    assert str(found) == shown
    assert str(found.outputs[0]) == "score: FP32[batch,seq]"


def test_axes_of_one_name_have_one_size():
    found = signature(json.dumps(NAMES))
    assert len(encode(found, {"ids": IDS, "weights": WEIGHTS})) == 2
    with pytest.raises(InvalidInput, match="differ in seq: ids has 3, weights has 2; expected sco"):
        encode(found, {"ids": IDS, "weights": [[0.1, 0.2]]})
    with pytest.raises(InvalidInput, match="differ in seq: ids has 3, weights has 2"):
        encode_either(found, {"ids": IDS[0], "weights": [0.1, 0.2]})


def test_the_batch_is_told_as_such():
    found = signature(json.dumps(NAMES))
    with pytest.raises(InvalidInput, match="differ in batch size: ids has 1, weights has 2"):
        encode(found, {"ids": IDS, "weights": WEIGHTS * 2})


def test_without_a_batch_axis_the_first_is_like_others():
    found = signature(json.dumps({**NAMES, "weights": ["seq", "heads"]}), max_batch_size=0)
    square = np.ones((3, 3), np.float32)
    assert len(encode(found, {"ids": IDS, "weights": square})) == 2
    with pytest.raises(InvalidInput, match="differ in seq: ids has 3, weights has 1"):
        encode(found, {"ids": IDS, "weights": WEIGHTS})


@pytest.mark.parametrize(
    "names",
    ["", "no JSON", "[]", "7", '{"ids": 7}', '{"ids": ["one"]}', '{"ids": [1, 2]}', '{"x": ["a"]}'],
)
def test_without_them_or_with_what_is_something_else(names):
    found = signature(names)
    assert str(found.inputs[0]) == "ids: INT64[-1,-1]"
    assert len(encode(found, {"ids": IDS, "weights": [[0.1, 0.2]]})) == 2


def test_a_fake_may_be_declared_with_them():
    server = FakeServer()

    @server.model(
        inputs={"ids": "INT64[seq]", "weights": "FP32[seq]"}, outputs={"score": "FP32[1]"}
    )
    def scorer(ids, weights):
        return {"score": [float((ids * weights).sum())]}

    with server.client() as client:
        assert str(client.get_model_info("scorer").inputs[0]) == "ids: INT64[seq]"
        assert client.run("scorer", {"ids": [1, 2], "weights": [0.5, 1.0]})["score"] == [2.5]
        with pytest.raises(InvalidInput, match="differ in seq: ids has 2, weights has 1"):
            client.run("scorer", {"ids": [1, 2], "weights": [0.5]})
