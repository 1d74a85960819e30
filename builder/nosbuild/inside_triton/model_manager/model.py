"""The model manager as a Triton model: requests in, answers out, each when it is there.

Inputs: ``request``, BYTES[1], the JSON of ``nos_model_manager/asking.py``. Outputs: ``answer``,
BYTES[1], JSON. What is refused is an error of the request, with one of Triton's codes.

``execute`` returns nothing: Triton lets even a model that is not decoupled answer later, through
the request's own sender. So one instance has any number of requests waiting.
"""

import fcntl
import json
import os
import sys
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

sys.path.append(str(Path(__file__).parent))
sys.pycache_prefix = sys.pycache_prefix or os.environ.get("PYTHONPYCACHEPREFIX")
sys.dont_write_bytecode = sys.pycache_prefix is None

from nos_model_manager.alone import require_alone  # noqa: E402 - it stands beside this file
from nos_model_manager.catalogue import Catalogue  # noqa: E402
from nos_model_manager.device_memory import DeviceMemory  # noqa: E402
from nos_model_manager.manager import Manager  # noqa: E402
from nos_model_manager.metrics import Metrics  # noqa: E402
from nos_model_manager.own_server import OwnServer  # noqa: E402
from nos_model_manager.refusal import INVALID_ARG, Refusal  # noqa: E402
from nos_model_manager.running import Running, triton_pid  # noqa: E402
from nos_model_manager.sizes import read  # noqa: E402
from nos_model_manager.worker_log import WorkerLog  # noqa: E402
from nos_model_manager.worker_watch import WorkerWatch  # noqa: E402

_SETTINGS = "manager.json"
"""Written by whoever starts the server: ``host``, ``port``, ``keys`` (headers of restricted
APIs), ``budget`` (as ``sizes.told`` tells it), ``models`` (``catalogue.py``), ``broken`` (model ->
reason), ``log``
(Triton's)."""
_KEPT = "kept.json"
_HELD = "held"
"""Locked for as long as this worker runs: the folder is not abandoned."""


class TritonPythonModel:
    """The one instance of the one manager."""

    def initialize(self, args):
        folder = Path(args["model_repository"])
        require_alone(args, folder, triton_pid())
        self._held = (folder / _HELD).open()
        fcntl.flock(self._held, fcntl.LOCK_SH)
        settings = json.loads((folder / _SETTINGS).read_text())
        catalogue = Catalogue(settings["models"], settings["broken"])
        self._running = Running(
            lambda begin: Manager(catalogue, read(settings["budget"]), begin),
            OwnServer(settings["host"], settings["port"], settings["keys"]),
            WorkerWatch(triton_pid(), catalogue.names, DeviceMemory(), WorkerLog(settings["log"])),
            folder / _KEPT,
            pb_utils.Logger.log_warn,
            _shown(),
        )

    def execute(self, requests):
        """Hands every request to the manager; an exception here would kill the worker."""
        for request in requests:
            answer = _Answer(request)
            try:
                text = _text(request)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's answer
                answer.send(Refusal(INVALID_ARG, f"input 'request' cannot be read: {error}"))
            else:
                self._running.submit(text, answer.send)

    def finalize(self):
        self._running.close()


class _Answer:
    """The way back to who asked."""

    def __init__(self, request):
        self._request = request  # kept for as long as its answer is not sent
        self._sender = request.get_response_sender()

    def send(self, answer):
        """Sends a dict, or a Refusal as the error that it is."""
        try:
            self._sender.send(
                _response(answer), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
            )
        except Exception as error:  # noqa: BLE001 - the thread that sends serves others, too
            pb_utils.Logger.log_warn(f"model_manager: an answer was not sent: {error}")
        self._request = None


def _shown():
    """What shows changes among Triton's metrics; None where it takes none of models."""
    try:
        return Metrics(pb_utils.MetricFamily).show
    except pb_utils.TritonModelException as error:
        pb_utils.Logger.log_warn(f"model_manager: no metrics: {error}")
        return None


def _text(request):
    values = pb_utils.get_input_tensor_by_name(request, "request").as_numpy().reshape(-1)
    if len(values) != 1:
        raise ValueError(f"it has {len(values)} elements, and must have 1")
    return values[0].decode()


def _response(answer):
    if isinstance(answer, Refusal):
        code = getattr(pb_utils.TritonError, answer.code)
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(answer.text, code))
    text = np.array([json.dumps(answer).encode()], dtype=np.object_)
    return pb_utils.InferenceResponse([pb_utils.Tensor("answer", text)])
