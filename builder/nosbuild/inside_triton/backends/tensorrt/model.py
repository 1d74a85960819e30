"""Triton's ``tensorrt`` backend for a server that has no ``libtriton_tensorrt.so``.

Triton looks for the C++ library first and for this file second, so a model with
``backend: "tensorrt"`` runs on this in the embedded server and on NVIDIA's own backend in a
container of the same TensorRT, from the same config.pbtxt.

Enters: the requests of one execution. Leaves: one response for each, in the same order.
"""

import json
from pathlib import Path

import triton_python_backend_utils as pb_utils
from joined_requests import JoinedRequests, check_numpy, config_dims
from sequence_states import state_entries
from tensorrt_engine.agreement import disagreements
from tensorrt_engine.session import EngineSession, EngineUnusable


class TritonPythonModel(JoinedRequests):
    """One instance of a model: an engine on a GPU and how to feed it."""

    def initialize(self, args):
        check_numpy()
        config = json.loads(args["model_config"])
        file = config.get("default_model_filename") or "model.plan"
        path = Path(args["model_repository"]) / args["model_version"] / file
        on_gpu = args["model_instance_kind"] == "GPU"
        device = int(args["model_instance_device_id"]) if on_gpu else 0
        try:
            self._session = EngineSession(path, device)
        except EngineUnusable as error:
            raise pb_utils.TritonModelException(str(error)) from None
        if not on_gpu:
            raise pb_utils.TritonModelException(
                "a TensorRT engine runs on a GPU: write instance_group { kind: KIND_GPU }"
            )
        problems = disagreements(
            self._session,
            _declared([*config["input"], *state_entries(config, "input")]),
            _declared([*config["output"], *state_entries(config, "output")]),
            config["max_batch_size"],
        )
        if problems:
            raise pb_utils.TritonModelException(
                "config.pbtxt and the engine do not agree: " + "; ".join(problems)
            )
        tensors = (*self._session.inputs, *self._session.outputs)
        batched = config["max_batch_size"] > 0
        scalars = () if batched else {tensor.name for tensor in tensors if not tensor.shape}
        self.prepare(config, scalars)

    def run_arrays(self, names, feed):
        answers = self._session.run(feed)
        return [answers[name] for name in names]

    def finalize(self):
        super().finalize()
        self._session.close()


def _declared(entries):
    return {entry["name"]: (entry["data_type"], config_dims(entry)) for entry in entries}
