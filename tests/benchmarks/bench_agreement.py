"""What ``nosbuild bench`` says beside NVIDIA's perf_analyzer, on one server, in turns.

Both send the golden samples over gRPC with as many callers, in turns of a few seconds, the order
changing from round to round: machines drift, so only ratios within a round mean anything. The
model is MiniLM, whose own work is most of a request; of the forest, which takes a fraction of a
millisecond, the figures are shown beside it, since there the client is a good part of what is
measured: perf_analyzer's is C++ and sends bytes made beforehand, bench's is nosclient, as users
have it, on the same processors as the server.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from support.perf_analyzer import Load, PerfAnalyzerMissing, measure, perf_analyzer

import nosbuild
from nosbuild.bench import Level, bench
from nosbuild.verify.golden import read_golden

ROOT = Path(__file__).resolve().parents[2]
JUDGED = "minilm"
CALLERS = {"minilm": (1, 4, 8), "breast_cancer": (1, 8)}


@dataclass(frozen=True)
class Round:
    """One turn of each, at the same load."""

    ours: Load
    theirs: Load

    @property
    def throughput(self) -> float:
        """Ours over theirs."""
        return self.ours.requests_per_second / self.theirs.requests_per_second

    @property
    def p50(self) -> float:
        """Likewise."""
        return self.ours.p50_ms / self.theirs.p50_ms


def main() -> None:
    """Build, serve, measure, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each turn")
    parser.add_argument("--repository", type=Path, help="with the models built; built if left out")
    options = parser.parse_args()
    try:
        theirs = perf_analyzer()
    except PerfAnalyzerMissing as missing:
        print(f"perf_analyzer cannot be run here: {missing}")
        print(json.dumps({"throughput_over_perf_analyzer": None, "p50_over_perf_analyzer": None}))
        return
    with tempfile.TemporaryDirectory() as folder:
        repository = options.repository or Path(folder) / "repository"
        if not options.repository:
            for model in CALLERS:
                nosbuild.build(ROOT / "model_repository" / model, repository)
        data = {model: _samples_file(repository / model, Path(folder)) for model in CALLERS}
        ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
        with nosbuild.serve(repository, models=list(CALLERS), **ports) as service:
            loads = [(model, callers) for model in CALLERS for callers in CALLERS[model]]
            rounds: dict[tuple[str, int], list[Round]] = {load: [] for load in loads}
            for number in range(options.rounds):
                for model, callers in loads:
                    turns = {}
                    for who in ("ours", "theirs") if number % 2 else ("theirs", "ours"):
                        turns[who] = (
                            _ours(service, model, callers, options.seconds)
                            if who == "ours"
                            else measure(
                                theirs,
                                service.grpc_url,
                                model,
                                data[model],
                                callers,
                                options.seconds,
                            )
                        )
                    rounds[model, callers].append(Round(**turns))
    _print(rounds)


def _samples_file(model: Path, folder: Path) -> Path:
    """The newest golden samples in perf_analyzer's form (its docs/input_data.md)."""
    newest = max(int(path.parent.name) for path in model.glob("*/golden"))
    samples = read_golden(model / str(newest) / "golden")
    data = [
        {
            name: {"content": array.ravel().tolist(), "shape": list(array.shape)}
            for name, array in sample.inputs.items()
        }
        for sample in samples
    ]
    file = folder / f"{model.name}.json"
    file.write_text(json.dumps({"data": data}))
    return file


def _ours(service: nosbuild.InferenceService, model: str, callers: int, seconds: float) -> Load:
    found = bench(
        service.grpc_url,
        model,
        [Level(concurrency=callers)],
        duration=seconds,
        warmup=1.0,
        repository=service.repository,
    )
    (level,) = found.levels
    assert found.real_inputs, found.inputs
    assert level.latency_ms is not None and not level.failures, level
    return Load(level.requests_per_second, level.latency_ms.p50, level.latency_ms.p99)


def _print(rounds: dict[tuple[str, int], list[Round]]) -> None:
    table = Table(box=None, header_style="dim")
    for column in ("model", "callers", "", "requests/s", "p50 ms", "p99 ms"):
        table.add_column(column)
    for (model, callers), done in rounds.items():
        for who, loads in (
            ("nosbuild bench", [each.ours for each in done]),
            ("perf_analyzer", [each.theirs for each in done]),
        ):
            table.add_row(
                model,
                str(callers),
                who,
                f"{statistics.median(load.requests_per_second for load in loads):.1f}",
                f"{statistics.median(load.p50_ms for load in loads):.2f}",
                f"{statistics.median(load.p99_ms for load in loads):.2f}",
            )
        table.add_row(
            "",
            "",
            "ratio: median (from .. to)",
            _spread([each.throughput for each in done]),
            _spread([each.p50 for each in done]),
        )
    Console(width=120).print(table)
    judged = [each for (model, _), done in rounds.items() if model == JUDGED for each in done]
    figures: dict[str, float] = {
        "throughput_over_perf_analyzer": _median([each.throughput for each in judged]),
        "p50_over_perf_analyzer": _median([each.p50 for each in judged]),
    }
    for (model, callers), done in rounds.items():
        figures[f"{model}_c{callers}_throughput"] = _median([each.throughput for each in done])
        figures[f"{model}_c{callers}_p50"] = _median([each.p50 for each in done])
    print(json.dumps(figures))


def _median(ratios: list[float]) -> float:
    return round(statistics.median(ratios), 3)


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.3f} ({min(ratios):.2f} .. {max(ratios):.2f})"


if __name__ == "__main__":
    main()
