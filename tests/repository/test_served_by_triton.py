"""What publish writes is what a real Triton loads, warms up and answers with."""

import numpy as np
import pytest
from variants import BATCHED, publish_mark

from nosbuild.runtime import serve

WORDS = """
source: {onnx: model.onnx}
inputs: {x: "string[batch, 2]"}
outputs: {y: "string[batch, 2]"}
"""

MODELS = {
    "ordered": f"{BATCHED}\nbatching: {{preserve_ordering: true, priority_levels: 1,\n"
    "  default_priority: 1}",
    "batched": BATCHED,
    "unbatched": BATCHED.replace("batch", "rows"),
    "numbers": BATCHED.replace("[batch, 4]", "[batch]"),
    "number": BATCHED.replace("[batch, 4]", "[]").replace("dims: {batch: 1..4..16}", ""),
    "words": WORDS,
    "every_setting": f"""{BATCHED}
description: "[every] setting"
batching: {{max_delay_us: 100, preferred: [4, 8], priority_levels: 2,
  default_priority: 1, queue: {{max_size: 9, timeout_us: 900000, action: delay}}}}
response_cache: true
optimization: {{inputPinnedMemory: {{enable: false}}}}
raw: {{parameters: {{mine: {{string_value: a}}}}, metric_tags: {{team: a}}}}
version_policy: all
""",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    for name, text in MODELS.items():
        for mark in ("first", "second"):
            publish_mark(folder / "repository", folder, mark, text, name)
    with serve(folder / "repository") as service, service.client() as client:
        yield client


@pytest.mark.live
@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("batched", np.arange(8, dtype=np.float32).reshape(2, 4)),
        ("unbatched", np.arange(12, dtype=np.float32).reshape(3, 4)),
        ("numbers", np.arange(3, dtype=np.float32).reshape(3, 1)),
        ("number", np.array([2.5], dtype=np.float32)),
        ("words", np.array([["größe", ""], ["b", "c"]], dtype=object)),
        ("ordered", np.ones((1, 4), dtype=np.float32)),
        ("every_setting", np.ones((16, 4), dtype=np.float32)),
    ],
)
def test_answers(client, name, array):
    answer = client.run(name, {"x": array})["y"]
    assert answer.dtype == array.dtype
    shown = answer if array.dtype != object else np.vectorize(_text)(answer)
    np.testing.assert_array_equal(shown, array)


@pytest.mark.live
def test_the_versions_of_the_policy_are_served(client):
    served = {(model.name, model.version) for model in client.list_models()}
    assert {("every_setting", "1"), ("every_setting", "2"), ("batched", "2")} <= served
    assert ("batched", "1") not in served


def _text(value):
    return value.decode() if isinstance(value, bytes) else value
