"""``nosbuild serve -m`` with a class of several methods."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

CODE = """
from collections.abc import Iterator


class Teller:
    def __call__(self, text: str) -> str:
        return text.upper()

    def stream(self, text: str) -> Iterator[str]:
        yield from text.split()
"""
SPEC = """
source: {python: "model.py:Teller"}
methods: [__call__, stream]
samples: "samples.py:samples"
"""
NOSBUILD = Path(sys.executable).with_name("nosbuild")
SAMPLES = "def samples():\n    return [{'text': 'one two'}, {'text': 'three'}]\n"


def test_names_the_methods_that_it_leaves_out(model, nosbuild, tmp_path, cache):
    folder = model("teller", SPEC, model=CODE, samples=SAMPLES)
    built = nosbuild("build", folder)
    assert built.code == 0, built.err
    child = subprocess.Popen(
        [
            NOSBUILD,
            "serve",
            "-m",
            "teller",
            *("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"),
        ],
        cwd=tmp_path,
        env={**os.environ, "NOSBUILD_CACHE": str(cache), "COLUMNS": "300"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "✓ Triton serves teller\n"
        while child.poll() is None and "Ctrl-C stops it" not in child.stdout.readline():
            pass
    finally:
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
    assert "not served: teller.stream, further methods; with them: -m teller.stream" in err
