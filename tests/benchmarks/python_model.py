"""What the adapter costs beside a model.py written by hand, and an ensemble beside two calls.

All of it is served by one Triton and measured in turns within one run: machines drift, so only
the ratios of one round mean anything. The classes do next to nothing, so that what is around them
shows. The ratios of the adapter are those of the work that it does worst on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from rich.console import Console
from rich.table import Table
from support.http_load import Load, in_turn, load, prepared_request

import nosbuild

WIDTH = 64
CONNECTIONS = 8

CLASSES = {
    "numbers": """
        from typing import Annotated

        import numpy as np

        Rows = Annotated[np.ndarray, "float32[batch, 64]"]


        class Model:
            def __call__(self, x: Rows) -> Rows:
                return x * 2
    """,
    "words": """
        class Model:
            def __call__(self, text: str) -> str:
                return " ".join(reversed(text.split()))
    """,
}

BY_HAND = {
    "numbers": """
        import numpy as np
        import triton_python_backend_utils as pb_utils


        class TritonPythonModel:
            def execute(self, requests):
                arrays = [
                    pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
                    for request in requests
                ]
                joined = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
                answer = joined * 2
                responses, start = [], 0
                for array in arrays:
                    end = start + len(array)
                    tensor = pb_utils.Tensor("output", answer[start:end])
                    responses.append(pb_utils.InferenceResponse([tensor]))
                    start = end
                return responses
    """,
    "words": """
        import numpy as np
        import triton_python_backend_utils as pb_utils


        class TritonPythonModel:
            def execute(self, requests):
                responses = []
                for request in requests:
                    texts = pb_utils.get_input_tensor_by_name(request, "text").as_numpy()
                    answers = [
                        " ".join(reversed(text.decode().split())) for text in texts.reshape(-1)
                    ]
                    tensor = pb_utils.Tensor("output", np.array(answers, dtype=object))
                    responses.append(pb_utils.InferenceResponse([tensor]))
                return responses
    """,
}


@dataclass(frozen=True)
class Seen:
    """What the rounds of one model or way saw: at one connection, and at several."""

    p50_ms: list[float]
    requests_per_second: list[float]


def main() -> None:
    """Build, serve, measure, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each turn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "repository"
        for work in CLASSES:
            _adapted(Path(folder) / "specs" / work, repository)
            _by_hand(repository, work)
        _ensemble(repository)
        ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
        with nosbuild.serve(repository, **ports) as service:
            works = {work: _compared(service.http_url, work, options) for work in CLASSES}
            pair = _members_compared(service.http_url, options)
    _print(works, pair)


def _adapted(folder: Path, repository: Path) -> None:
    """The class, as a user builds it."""
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(textwrap.dedent(CLASSES[folder.name]))
    (folder / "model.yaml").write_text(
        f'name: {folder.name}\nsource: {{python: "model.py:Model"}}\n'
    )
    nosbuild.build(folder, repository)


def _by_hand(repository: Path, work: str) -> None:
    """The same work and interface, without us."""
    folder = repository / f"{work}_by_hand"
    (folder / "1").mkdir(parents=True)
    (folder / "1/model.py").write_text(textwrap.dedent(BY_HAND[work]))
    config = (repository / work / "config.pbtxt").read_text()
    # All but what belongs to the version that was built: its warm-up requests lie beside it.
    config = config.partition("model_warmup")[0].replace(f'"{work}"', f'"{work}_by_hand"')
    (folder / "config.pbtxt").write_text(f'{config}\nbackend: "python"\n')


def _ensemble(repository: Path) -> None:
    """Two small ONNX models, and the ensemble of both."""
    for name, operation in (("first", "Add"), ("second", "Mul")):
        graph = helper.make_graph(
            [helper.make_node(operation, ["x", "two"], ["y"])],
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", WIDTH])],
            [helper.make_tensor("two", TensorProto.FLOAT, [], [2.0])],
        )
        folder = repository.parent / "specs" / name
        folder.mkdir(parents=True)
        opsets = [helper.make_opsetid("", 18)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), folder / "m.onnx")
        (folder / "model.yaml").write_text(f"name: {name}\nsource: {{onnx: m.onnx}}\n")
        nosbuild.build(folder, repository)
    both = repository.parent / "specs" / "both"
    both.mkdir()
    (both / "model.yaml").write_text(
        textwrap.dedent(
            """
            name: both
            source:
              pipeline:
                - {model: first, in: {x: x}, out: {y: between}}
                - {model: second, in: {x: between}, out: {y: y}}
            outputs: {y: y}
            """
        )
    )
    nosbuild.build(both, repository)


def _compared(url: str, work: str, options: argparse.Namespace) -> dict[str, Seen]:
    """The adapter and the model by hand, in turns."""
    inputs = {"x": np.ones((1, WIDTH), np.float32)}
    if work == "words":
        inputs = {"text": np.array([["the words of this line in another order"]], dtype=object)}
    names = (work, f"{work}_by_hand")
    requests = {name: prepared_request(url, name, inputs, ["output"]) for name in names}
    seen = {name: Seen([], []) for name in names}
    for name in names:  # warm-up, not counted
        load(url, requests[name], CONNECTIONS, 1.0)
    for number in range(options.rounds):
        for name in names if number % 2 else reversed(names):
            alone: Load = load(url, requests[name], 1, options.seconds)
            together = load(url, requests[name], CONNECTIONS, options.seconds)
            seen[name].p50_ms.append(alone.p50_ms)
            seen[name].requests_per_second.append(together.requests_per_second)
    return seen


def _members_compared(url: str, options: argparse.Namespace) -> dict[str, Seen]:
    """One request to the ensemble, and one to each of its members, in turns."""
    x = {"x": np.ones((1, WIDTH), np.float32)}
    ways = {
        "ensemble": [prepared_request(url, "both", x, ["y"])],
        "separate calls": [prepared_request(url, name, x, ["y"]) for name in ("first", "second")],
    }
    seen = {way: Seen([], []) for way in ways}
    for requests in ways.values():
        in_turn(url, requests, 1.0)
    for number in range(options.rounds):
        for way in ways if number % 2 else reversed(ways):
            times = in_turn(url, ways[way], options.seconds)
            seen[way].p50_ms.append(statistics.median(times))
    return seen


def _print(works: dict[str, dict[str, Seen]], pair: dict[str, Seen]) -> None:
    table = Table(box=None, header_style="dim")
    for column in ("model", "p50 ms, 1 connection", f"requests/s, {CONNECTIONS} connections"):
        table.add_column(column)
    for models in (*works.values(), pair):
        for name, seen in models.items():
            rates = seen.requests_per_second
            rate = f"{statistics.median(rates):.0f}" if rates else ""
            table.add_row(name, f"{statistics.median(seen.p50_ms):.3f}", rate)
    Console().print(table)
    p50, rates = [], []
    for ours, by_hand in (models.values() for models in works.values()):
        p50.append(_ratio(ours.p50_ms, by_hand.p50_ms))
        rates.append(_ratio(ours.requests_per_second, by_hand.requests_per_second))
    figures = {
        "adapter_p50_over_handwritten": max(p50),
        "adapter_rps_over_handwritten": min(rates),
        "ensemble_p50_over_separate_calls": _ratio(*(seen.p50_ms for seen in pair.values())),
        "works": {
            work: {"p50": one, "rps": rate}
            for work, one, rate in zip(works, p50, rates, strict=True)
        },
    }
    print(json.dumps(figures))


def _ratio(ours: list[float], theirs: list[float]) -> float:
    """The median of the rounds' own ratios, so that drift between rounds cancels."""
    return round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 3)


if __name__ == "__main__":
    main()
