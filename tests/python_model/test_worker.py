"""The worker's process: how it ends, and what must not hold it, or the build, up."""

from __future__ import annotations

import os
import signal

import pytest

from python_versions import Worker, bind, lay_out, strings

FORKS = """
import os, signal, time
class Model:
    def __call__(self, text: str) -> str:
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        with open(__file__ + ".child", "w") as file:
            file.write(str(child))
        os.kill(os.getpid(), signal.SIGKILL)
"""

STREAMS = """
from collections.abc import AsyncIterator, Iterator
class Model:
    def plain(self, text: str) -> Iterator[str]:
        while True:
            yield text * (1 << 20)
    async def awaited(self, text: str) -> AsyncIterator[str]:
        while True:
            yield text * (1 << 20)
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "1"


def test_threads_that_are_left_do_not_keep_it(folder):
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n"
    lay_out(folder, model=code + "class Model: pass\n")
    with Worker(folder) as worker:
        found = worker.ok(
            "describe", reference="model.py:Model", init=[], methods=[], inputs={}, outputs={}
        )
        assert found["class"] == "Model"
        worker.ok("close")
        assert worker.process.wait(20) == 0


def test_its_end_is_seen_where_a_forked_child_lives_on(folder):
    bind(lay_out(folder, model=FORKS))
    with Worker(folder) as worker:
        worker.ok("construct", device="cpu")
        with pytest.raises(EOFError):
            worker.order("direct", inputs={"text": strings("a").reshape(())})
        child = int((folder / "source/model.py.child").read_text())
        os.kill(child, signal.SIGKILL)  # it was there


def test_an_answer_that_cannot_be_sent_is_an_error(folder):
    code = """
    class Model:
        def __call__(self, text: str) -> str:
            return "\\ud800" if text == "half" else text
    """
    bind(lay_out(folder, model=code))
    with Worker(folder) as worker:
        worker.ok("construct", device="cpu")
        error = worker.order("direct", inputs={"text": strings("half").reshape(())})["error"]
        assert (error["type"], "surrogates not allowed" in error["message"]) == (
            "UnicodeEncodeError",
            True,
        )
        answer = worker.ok("direct", inputs={"text": strings("whole").reshape(())})
        assert answer["output"].item() == b"whole"


@pytest.mark.parametrize("method", ["plain", "awaited"])
def test_a_stream_without_an_end_is_given_up(folder, method):
    bind(lay_out(folder, model=STREAMS), method=method, batched=False)
    with Worker(folder) as worker:
        worker.ok("construct", device="cpu")
        error = worker.order("direct", inputs={"text": strings("a").reshape(())})["error"]
        assert (error["type"], error["message"][:22]) == ("EndlessStream", "it yields 256 MiB and ")
