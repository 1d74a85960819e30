from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nosbuild.spec import ModelSpec, load_spec

Load = Callable[..., ModelSpec]

FILES = {
    "samples.py": "def samples(): ...\n",
    "model.py": """\
from base import Imported

def create(): ...

class Summary:
    def __init__(self, sentences: int = 3, *, device="cpu"): ...
    def __call__(self, text: str) -> str: ...
    def stream(self, text: str, size: int = 2): ...
    def read(self, **images): ...
    @property
    def ready(self): ...
    def tick(self): ...
    def close(self): ...

class Caller(object):
    def __init__(self, models, width, depth=1): ...
    async def read(self, image): ...
    def _crop(self, image): ...

class Child(Summary):
    alias = Summary.stream

class Outer:
    class Inner:
        @staticmethod
        def __call__(text): ...

try:
    import fast
except ImportError:
    @dataclasses.dataclass(frozen=True)
    class Fallback:
        width: int
        def __call__(self, text): ...
""",
    "broken.py": "class Summary:\n    def __call__(self, text: str) -> str ...\n",
    "requirements.txt": """\
# what the class needs
nltk>=3.9   # splits sentences
-r more/others.txt
six \\
  == 1.16.0
""",
    "more/others.txt": "idna\n",
    "bad.txt": """\
-r requirements.txt
--index-url https://example.org/simple

nump y
-r loop.txt
-r ../out.txt
-c none.txt
""",
    "loop.txt": "-r bad.txt\n",
}


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes a model.yaml into the folder `m`, beside the files above; loads it."""

    def write_and_load(content: str | bytes) -> ModelSpec:
        folder = tmp_path / "m"
        for name, text in FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        raw = content if isinstance(content, bytes) else content.encode()
        (folder / "model.yaml").write_bytes(raw)
        return load_spec(folder)

    return write_and_load
