"""A model's own Python, at work for a build: describes the class, makes it, and calls it.

Run as ``<environment>/bin/python -I worker.py <folder>``; the folder is laid out as a version
folder: ``source/``, ``nos_python_model/`` and, for all but ``describe``, ``binding.json``.

Messages (see wire.py) come on standard input and are answered, one each, on standard output; what
the user's code prints goes to standard error.

    {"do": "describe", "reference", "init": [names], "methods": [names],
     "inputs": {name: "float32[batch, 3]"}, "outputs": {...}}   -> {"ok": what describe() returns}
    {"do": "construct", "device": "cpu"}                        -> {"ok": {}}
    {"do": "direct", "inputs": {name: array of one item}}       -> {"ok": {output: array}}
    {"do": "adapted", "requests": [{name: array}]}              -> {"ok": [{"outputs"} | {"error"}]}
    {"do": "close"}                                             -> {"ok": {}}, and it ends

For a method that streams, ``{output: array}`` is a list of such dicts, one for each chunk. What
fails is answered by ``{"error": {"type", "message", "traceback", "where": "model.py:12"}}``;
``where`` is empty where the user's code is not at fault.

In between, ``{"ask": "model", "name", "inputs": {input: array}, "stream": bool}`` may come from
here: a call of another model, to be answered by ``{"outputs": {output: array}}``, for a stream by
``{"chunks": [{...}]}``, or by ``{"failure": "what went wrong"}``, before anything else is sent.
"""

import asyncio
import ctypes
import os
import signal
import sys
import threading
import traceback
from functools import partial
from pathlib import Path

_PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""


def main():
    if sys.platform == "linux":  # endless loops in the user's code end with the build, too
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    folder = Path(sys.argv[1]).resolve()
    # Standard output belongs to the messages: whatever prints, C libraries too, must not touch it.
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    # What the user's code forks may outlive this process: the build must see the pipes end even so.
    for end in (incoming.fileno(), outgoing.fileno()):
        os.register_at_fork(after_in_child=partial(os.dup2, nothing, end, False))
    sys.stdout.reconfigure(line_buffering=True)
    sys.dont_write_bytecode = True
    sys.path.append(str(folder))
    Worker(folder, incoming, outgoing).serve()
    sys.stdout.flush()
    os._exit(0)  # threads that the user's code has left must not keep the process


class Worker:
    """Answers messages until ``close``, or until the other end goes away."""

    def __init__(self, folder, incoming, outgoing):
        self._folder = folder
        self._incoming = incoming
        self._outgoing = outgoing
        self._asking = threading.Lock()
        self._adapter = None

    def serve(self):
        from nos_python_model.wire import read_message, write_message

        while True:
            try:
                order = read_message(self._incoming)
            except EOFError:
                return
            try:
                answer = {"ok": getattr(self, f"_{order['do']}")(order)}
            except BaseException as error:  # noqa: BLE001 - sys.exit() in the user's code, too
                answer = {"error": self._error(error)}
            try:
                write_message(self._outgoing, answer)
            except (TypeError, ValueError) as error:  # nothing of it is sent: text that is no UTF-8
                write_message(self._outgoing, {"error": self._error(error)})
            if order["do"] == "close":
                return

    def _describe(self, order):
        from nos_python_model.describe import describe

        return describe(
            self._folder / "source",
            order["reference"],
            order["init"],
            order["methods"],
            order["inputs"],
            order["outputs"],
        )

    def _construct(self, order):
        from nos_python_model.adapter import Adapter
        from nos_python_model.binding import read_binding
        from nos_python_model.models import Models

        binding = read_binding(self._folder)
        models = Models(binding["models"], self)
        self._adapter = Adapter(
            self._folder,
            binding,
            device=order["device"],
            models=models,
            warn=lambda text: sys.stderr.write(f"{text}\n"),
        )
        models.open()
        return {}

    def _direct(self, order):
        return self._adapter.direct(order["inputs"])

    def _adapted(self, order):
        from nos_python_model.failures import Failure

        if self._adapter.binding["streams"]:
            answers = [self._streamed(request) for request in order["requests"]]
        else:
            answers = self._adapter.run(order["requests"])
        return [
            {"error": self._error(answer.error)}
            if isinstance(answer, Failure)
            else {"outputs": answer}
            for answer in answers
        ]

    def _streamed(self, request):
        from nos_python_model.failures import Failure

        try:
            return self._adapter.chunks(request)
        except BaseException as error:  # noqa: BLE001 - sys.exit() too is only an answer
            return Failure(error)

    def _close(self, _order):
        if self._adapter is not None:
            self._adapter.close()
        return {}

    def _error(self, error):
        from nos_python_model.problems import Problem, raised_at, said

        place = raised_at(error, self._folder / "source")
        return {
            "type": type(error).__name__,
            "message": said(error),
            "traceback": "".join(traceback.format_exception(error)),
            "where": error.where if isinstance(error, Problem) else place,
        }

    # What the class's ``models`` calls: the build answers.

    def call(self, name, inputs):
        return self._asked(name, inputs, stream=False)["outputs"]

    async def call_async(self, name, inputs):
        return await asyncio.to_thread(self.call, name, inputs)

    def stream(self, name, inputs, _in_legs):
        return Chunks(self._asked(name, inputs, stream=True)["chunks"])

    def _asked(self, name, inputs, *, stream):
        from nos_python_model.models import ModelCallError
        from nos_python_model.wire import read_message, write_message

        with self._asking:  # threads of the user's code may ask at once
            ask = {"ask": "model", "name": name, "inputs": inputs, "stream": stream}
            write_message(self._outgoing, ask)
            answer = read_message(self._incoming)
        if "failure" in answer:
            raise ModelCallError(f"model {name!r}: {answer['failure']}")
        return answer


class Chunks:
    """A stream of another model that has ended already: for ``for`` and for ``async for``."""

    def __init__(self, chunks):
        self._chunks = iter(chunks)

    def __iter__(self):
        return self._chunks

    def close(self):
        self._chunks = iter(())

    def __aiter__(self):
        return self

    async def __anext__(self):
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


if __name__ == "__main__":
    main()
