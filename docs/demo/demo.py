"""Builds the gallery, starts a real Triton on it, sends real inputs and shows what comes back."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from skimage import data

import nosbuild
from nosclient import Client

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"
GALLERY = ("minilm", "efficientnet_lite0", "ocr_detect", "ocr_recognize", "breast_cancer")
CALLS = 9

sys.path.extend(str(REPOSITORY / name) for name in GALLERY)  # each model brings its task code

import boxes  # noqa: E402
import decode  # noqa: E402
import forest  # noqa: E402
import images  # noqa: E402
import labels  # noqa: E402
import tokenizer  # noqa: E402
from pictures import receipt, thumbnail  # noqa: E402

Result = TypeVar("Result")
console = Console(highlight=False)


def timed(call: Callable[[], Result]) -> tuple[Result, float]:
    """What the call returns, and the median of its time over several calls, in ms."""
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        result = call()
        times.append((time.perf_counter() - start) * 1e3)
    return result, statistics.median(times)


def sentences(client: Client) -> str:
    """Related sentences must score above every unrelated pair."""
    pairs = (
        ("A cat is sleeping on the sofa.", "The kitten naps on the couch."),
        ("How do I reset my password?", "I cannot get into my account."),
        ("Shares fell as interest rates rose.", "The stock market dropped sharply."),
    )
    texts = [text for pair in pairs for text in pair]
    batch = tokenizer.encode(texts)
    outputs, ms = timed(lambda: client.run("minilm", batch))
    vectors = outputs["sentence_embedding"]
    scores = vectors @ vectors.T

    table = Table(box=None, header_style="dim", padding=0)
    table.add_column("cosine similarity")
    for number in range(len(texts)):
        table.add_column(str(number + 1), justify="center")
    for row, text in enumerate(texts):
        cells = [_heat(float(score)) for score in scores[row]]
        table.add_row(f"[dim]{row + 1}[/] {text}  ", *cells)
    console.print(Padding(table, (0, 2)))

    related = [float(scores[i, i + 1]) for i in range(0, len(texts), 2)]
    pair_of = np.arange(len(texts)) // 2
    unrelated = float(scores[pair_of[:, None] != pair_of].max())
    assert min(related) > unrelated, f"related {min(related):.2f}, unrelated up to {unrelated:.2f}"
    return f"related at least {min(related):.2f}, others at most {unrelated:.2f} [dim]{ms:.1f} ms"


def photographs(client: Client) -> str:
    """Chelsea must be a cat and the coffee an espresso."""
    shown = {"a cat": data.chelsea(), "a cup of coffee": data.coffee()}
    batch = np.stack([images.prepare(photograph) for photograph in shown.values()])
    outputs, ms = timed(lambda: client.run("efficientnet_lite0", {"image": batch}))

    grid = Table.grid(padding=(0, 3))
    bests = [labels.top(logits) for logits in outputs["logits"]]
    for photograph, best in zip(shown.values(), bests, strict=True):
        lines = [f"{'█' * round(24 * p):24} {p:5.1%} {name}" for name, p in best]
        answer = Text("\n".join(lines), style="cyan")
        picture = thumbnail(images.center_square(photograph), columns=22)
        # Half blocks need colours: in a log they would be a grey wall.
        grid.add_row(*([picture, answer] if console.color_system else [answer]))
    console.print(Padding(grid, (0, 2)))

    names = [best[0][0] for best in bests]
    assert names == ["Egyptian cat", "espresso"], (
        f"the pictures are taken for {' and '.join(names)}"
    )
    return f"{names[0]}, {names[1]} [dim]{ms / len(batch):.1f} ms an image"


def reading(client: Client) -> str:
    """Every line of a rendered receipt must be found by one model and read by the other."""
    written = ("The quick brown fox", "Total due: 1,284.50 EUR", "https://example.org/triton")
    page = receipt(written)
    prepared = boxes.prepare(page)[None]
    outputs, find_ms = timed(lambda: client.run("ocr_detect", {"x": prepared}))
    found = boxes.find(outputs["sigmoid_0.tmp_0"], page.shape)

    table = Table(box=None, header_style="dim")
    for heading in ("found at", "read", "sure"):
        table.add_column(heading)
    read, times = [], []
    for box in found:
        line = decode.prepare(box.cut(page))[None]
        outputs, ms = timed(lambda line=line: client.run("ocr_recognize", {"x": line}))
        text, score = decode.decode(outputs["softmax_11.tmp_0"][0], decode.charset())
        table.add_row(f"[dim]{box.left:3}, {box.top:3}[/]", f"[cyan]{text}[/]", f"{score:.0%}")
        read.append(text)
        times.append(ms)
    grid = Table.grid(padding=(0, 3))
    grid.add_row(*([thumbnail(page, columns=30), table] if console.color_system else [table]))
    console.print(Padding(grid, (0, 2)))

    assert tuple(read) == written, f"the page says {written}, read was {tuple(read)}"
    read_ms = statistics.median(times)
    return (
        f"{len(read)} of {len(written)} lines [dim]{find_ms:.1f} ms a page, {read_ms:.1f} ms a line"
    )


def diagnoses(client: Client) -> str:
    """The served forest must answer what scikit-learn answers, row by row."""
    _, rows, _, truth = forest.split()
    expected = forest.train().predict(rows)
    outputs, ms = timed(lambda: client.run("breast_cancer", {"features": rows}))
    answers = outputs["label"].reshape(len(rows))  # Triton has no scalars: one label is a [1]
    same = int((answers == expected).sum())
    right = float((answers == truth).mean())
    dots = Text("".join("●" if label else "○" for label in answers), style="cyan")
    console.print(Padding(dots, (0, 3)))
    console.print(f"   [dim]○ malignant  ● benign; {right:.1%} of the diagnoses are right[/]")
    assert same == len(rows), f"scikit-learn agrees on {same} of {len(rows)} rows only"
    return f"scikit-learn agrees on {same} of {len(rows)} rows [dim]{ms:.1f} ms for all of them"


SCENES: dict[str, Callable[[Client], str]] = {
    "minilm [dim]which sentences mean the same?": sentences,
    "efficientnet_lite0 [dim]what is in the picture?": photographs,
    "ocr_detect, ocr_recognize [dim]what does the paper say?": reading,
    "breast_cancer [dim]is the tumour benign?": diagnoses,
}


def main() -> int:
    """Build, serve, show; the number of scenes that failed."""
    console.rule("[bold]nosbuild[/] [dim]model.yaml in, proven Triton endpoint out")
    for name in GALLERY:
        start = time.perf_counter()
        with console.status(f"{name}: export, prove, publish"):
            result = nosbuild.build(REPOSITORY / name, repository=REPOSITORY)
        seconds = time.perf_counter() - start
        console.print(f"[green]✓[/] {name:20} built and proven [dim]{seconds:6.1f} s")
        console.print(f"  [dim]{result.report.headline}")

    failures = 0
    with nosbuild.serve(REPOSITORY) as service, service.client() as client:
        console.print(
            Panel.fit(f"Triton Inference Server at [bold]{service.grpc_url}", style="dim")
        )
        for title, scene in SCENES.items():
            console.print(f"\n[bold]{title}")
            try:
                console.print(f"[green]✓[/] {scene(client)}")
            except AssertionError as failure:
                failures += 1
                console.print(f"[red]✗ {failure}")
    console.rule("[red]something is wrong" if failures else "[green]all of it came through Triton")
    return failures


def _heat(score: float) -> Text:
    """The score on a background that is the brighter, the higher it is."""
    level = max(0.0, min(1.0, score))
    red, green, blue = (
        round(low + level * (high - low)) for low, high in ((25, 90), (30, 200), (45, 120))
    )
    ink = "black" if level > 0.5 else "white"
    return Text(f"{score:5.2f} ", style=f"{ink} on rgb({red},{green},{blue})")


if __name__ == "__main__":
    try:
        sys.exit(min(main(), 1))
    except nosbuild.NosError as error:
        console.print(f"[red]✗ {error}")
        sys.exit(error.exit_code)
