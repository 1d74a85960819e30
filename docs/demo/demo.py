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
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from skimage import data

import nosbuild
from nosclient import Client

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"
GALLERY = (
    "breast_cancer",
    "efficientnet_lite0",
    "minilm",
    "ocr_detect",
    "ocr_direction",
    "ocr_recognize",
    "smollm2_decoder",
    "image_classifier",
    "minilm_tokenizer",
    "ocr",
    "smollm2",
    "text_embedding",
)
"""Those that others call come first."""
CALLS = 9

sys.path.extend(str(REPOSITORY / name) for name in ("breast_cancer", "efficientnet_lite0"))

import forest  # noqa: E402
import images  # noqa: E402
from pictures import jpeg, receipt, thumbnail  # noqa: E402

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
    batch = {"text": np.array(texts, dtype=object)[:, None]}
    outputs, ms = timed(lambda: client.run("text_embedding", batch))
    vectors = outputs["embedding"]
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
    files = np.array([jpeg(photograph) for photograph in shown.values()], dtype=object)
    outputs, ms = timed(lambda: client.run("image_classifier", {"image": files[:, None]}))

    grid = Table.grid(padding=(0, 3))
    bests = [
        [(name.decode(), float(score)) for name, score in zip(row, scores, strict=True)]
        for row, scores in zip(outputs["label"][:, :3], outputs["score"][:, :3], strict=True)
    ]
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
    return f"{names[0]}, {names[1]} [dim]{ms / len(files):.1f} ms an image"


def reading(client: Client) -> str:
    """Every line of a rendered receipt must be found, turned upright and read, in one request."""
    written = ("The quick brown fox", "Total due: 1,284.50 EUR", "https://example.org/triton")
    page = receipt(written, degrees=8)
    image = np.array([jpeg(page)], dtype=object)
    outputs, ms = timed(lambda: client.run("ocr", {"image": image}))
    read = [text.decode() for text in outputs["text"]]

    table = Table(box=None, header_style="dim")
    for heading in ("found at", "read", "sure"):
        table.add_column(heading)
    for text, box, score in zip(read, outputs["boxes"], outputs["scores"], strict=True):
        x, y = box[0]
        table.add_row(f"[dim]{x:3.0f}, {y:3.0f}[/]", f"[cyan]{text}[/]", f"{score:.0%}")
    grid = Table.grid(padding=(0, 3))
    grid.add_row(*([thumbnail(page, columns=30), table] if console.color_system else [table]))
    console.print(Padding(grid, (0, 2)))

    assert tuple(read) == written, f"the page says {written}, read was {tuple(read)}"
    return f"{len(read)} of {len(written)} lines [dim]{ms:.0f} ms a page, three models in it"


def talking(client: Client) -> str:
    """An answer, printed as it comes, token by token; it must name Paris."""
    prompt = "What is the capital of France, and what is it known for?"
    console.print(f"   [dim]{prompt}[/]\n   ", end="")
    start, first, pieces = time.perf_counter(), 0.0, []
    inputs = {"prompt": np.array([prompt], dtype=object), "max_tokens": np.array([48])}
    with client.stream("smollm2", inputs) as chunks:
        for chunk in chunks:
            first = first or time.perf_counter() - start
            pieces.append(chunk["output"].item().decode())
            console.print(f"[cyan]{escape(pieces[-1])}[/]", end="")
    seconds = time.perf_counter() - start
    console.print()
    answer = "".join(pieces)
    assert "Paris" in answer, f"it said {answer!r}"
    rate = (len(pieces) - 1) / (seconds - first)
    return f"{rate:.0f} tokens a second [dim]the first after {first * 1e3:.0f} ms"


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
    "text_embedding [dim]which sentences mean the same?": sentences,
    "image_classifier [dim]what is in the picture?": photographs,
    "ocr [dim]what does the paper say?": reading,
    "smollm2 [dim]what does it answer?": talking,
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
