"""A user's plain Python class as a Triton model: ``model.py`` of its version folder.

Enters: the requests of one execution. Leaves: one response for each, in the same order. What
happens in between is nos_python_model's, which a build runs as well.
"""

import contextlib
import json
import locale
import os
import sys
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

sys.path.append(str(Path(__file__).parent))
# Published versions are immutable: no __pycache__ beside a model's files. Triton's workers ignore
# PYTHON* variables, so these are honoured here.
sys.pycache_prefix = sys.pycache_prefix or os.environ.get("PYTHONPYCACHEPREFIX")
sys.dont_write_bytecode = sys.pycache_prefix is None
# A worker begins in the locale C, where open() and print() know ASCII alone; the build ran the
# class with UTF-8.
with contextlib.suppress(locale.Error):
    locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # a log loses nothing
if os.environ.get("PYTHONUNBUFFERED"):
    sys.stdout.reconfigure(line_buffering=True)  # what a model prints shall be in the log at once

from nos_python_model.adapter import Adapter  # noqa: E402 - it stands beside this file
from nos_python_model.binding import read_binding  # noqa: E402
from nos_python_model.execution_deadline import BadDeadline, deadline_of  # noqa: E402
from nos_python_model.failures import Failure  # noqa: E402
from nos_python_model.hung_at import hung_at  # noqa: E402
from nos_python_model.models import Models  # noqa: E402
from nos_python_model.problems import Problem, raised_at, shown  # noqa: E402
from nos_python_model.triton_models import TritonTransport  # noqa: E402


class TritonPythonModel:
    """One instance of a model: one object of the user's class."""

    def initialize(self, args):
        _check_numpy()
        folder = Path(args["model_repository"]) / args["model_version"]
        config = json.loads(args["model_config"])
        self._name = args["model_name"]
        self.binding = read_binding(folder)
        self._invalid, self._internal = _error_codes()
        transport = TritonTransport()
        models = Models(self.binding["models"], transport)
        self._read_streams = transport.ended
        is_gpu = args["model_instance_kind"] == "GPU"
        try:
            self._adapter = Adapter(
                folder,
                self.binding,
                device=f"cuda:{args['model_instance_device_id']}" if is_gpu else "cpu",
                models=models,
                dims={entry["name"]: _item_shape(entry) for entry in config["output"]},
                warn=self._warn,
            )
        except Problem as problem:
            raise pb_utils.TritonModelException(str(problem)) from None
        except BaseException as error:  # noqa: BLE001 - sys.exit() too is only a failed load
            where = raised_at(error, folder / "source")
            sys.stderr.write(Failure(error).traceback)
            raise pb_utils.TritonModelException(
                f"{self.binding['reference']} cannot be constructed: {shown(error)} ({where})"
            ) from None
        models.open()
        self._streaming = None
        deadline = self._deadline(config)
        if self.binding["streams"]:
            from nos_python_model.streaming import Streaming

            self._streaming = Streaming(
                self._adapter, self._failed, config, self._read_streams, deadline
            )
        elif deadline is not None:
            self.execute = deadline.guarded(self.execute)

    def execute(self, requests):
        """Answers every request, an error response included: an exception here kills the worker."""
        if self._streaming is not None:
            return self._streaming.execute(requests)
        # Loops, no comprehensions: each of those is a call, and this is done for every request.
        taken = []
        for request in requests:
            arrays = {}
            for tensor in request.inputs():
                arrays[tensor.name()] = tensor.as_numpy()
            taken.append(arrays)
        responses = []
        for answer in self._adapter.run(taken):
            if isinstance(answer, Failure):
                responses.append(self._failed(answer))
                continue
            try:
                tensors = []
                for name, array in answer.items():
                    tensors.append(pb_utils.Tensor(name, array))
                responses.append(pb_utils.InferenceResponse(tensors))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's answer
                responses.append(self._failed(Failure(error)))
        try:
            self._read_streams.release(requests)
        except Exception as error:  # noqa: BLE001 - one raised here would kill the worker
            self._warn(f"streams that were read are kept: {error}")
        return responses

    def finalize(self):
        try:
            if self._streaming is not None:
                self._streaming.close()
        finally:
            self._adapter.close()

    def _deadline(self, config):
        try:
            return deadline_of(config, self._where_it_hangs, self._break_off)
        except BadDeadline as error:
            raise pb_utils.TritonModelException(str(error)) from None

    def _where_it_hangs(self, threads):
        return hung_at(threads, self._adapter.event_loop() if self.binding["is_async"] else None)

    def _break_off(self, reason):
        """Triton fails requests of a worker that has ended, but no streams."""

        def response():
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(reason, *self._internal))

        if self._streaming is not None:
            self._streaming.break_off(response)

    def _failed(self, failure):
        """The error response; what the caller is not at fault for goes to the log."""
        if failure.traceback:
            pb_utils.Logger.log_error(f"{self._name}: {failure.message}")
            # Past Triton's logger, which writes a traceback as one line with \n in it.
            sys.stderr.write(failure.traceback)
        code = self._invalid if failure.is_bad_input else self._internal
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(failure.message, *code))

    def _warn(self, message):
        pb_utils.Logger.log_warn(f"{self._name}: {message}")


def _error_codes():
    """What marks an error as the caller's, and as the model's; older Tritons know neither."""
    known = pb_utils.TritonError
    names = ("INVALID_ARG", "INTERNAL")
    return [(getattr(known, name),) if hasattr(known, name) else () for name in names]


def _item_shape(entry):
    """The shape of an item as Triton takes it from the model."""
    reshape = entry.get("reshape")
    return [int(dim) for dim in (reshape.get("shape", []) if reshape else entry["dims"])]


def _check_numpy():
    if int(np.__version__.split(".")[0]) >= 2:
        raise pb_utils.TritonModelException(
            f"numpy {np.__version__} corrupts tensors in Triton's Python backend; a model's "
            "environment needs numpy<2: add 'numpy<2' to its requirements"
        )
