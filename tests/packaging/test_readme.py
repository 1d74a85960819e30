"""The README's own example, built and called as it is written; and links that lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("client/*.md")],
)


def blocks(language: str) -> list[str]:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def write(folder: Path, *texts: str) -> None:
    """Each into the file that its first line names."""
    for text in texts:
        name = re.match(r"# (\S+)\n", text)
        assert name, "the first line of a block names its file"
        file = folder / name[1]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def printed(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.live
def test_readme_example_runs_as_written(tmp_path):
    model, samples, tour, *_ = blocks("python")
    spec, *_ = blocks("yaml")
    write(tmp_path / "model_repository/mlp", spec, model, samples)
    promised = re.findall(r"^.*print\(.*#\s*(.+)$", tour, re.MULTILINE)
    assert printed(tour, tmp_path).splitlines() == promised


@pytest.mark.live
def test_readme_class_runs_as_written(tmp_path):
    *_, model, tour = blocks("python")
    _, spec, _ = blocks("yaml")
    write(tmp_path, spec, model)
    lines = printed(tour, tmp_path).splitlines()
    assert lines == ["[b'One. Two.' b'Four. Five.']", "One.", "Two."]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# ")
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if link.startswith(("http://", "https://")):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def anchors(page: Path) -> list[str]:
    """As GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
