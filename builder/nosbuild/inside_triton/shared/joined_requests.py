"""What the Python-based backends have in common: requests that arrive together run together.

Enters: the requests of one execution. Leaves: one response for each, in the same order.
"""

import numpy as np
import triton_python_backend_utils as pb_utils
from execution_deadline import BadDeadline, deadline_of
from hung_at import hung_at
from sequence_states import state_entries, states_of


class JoinedRequests:
    """Base of a backend's TritonPythonModel, which gives ``run_arrays``."""

    def prepare(self, config, scalars=()):
        """Reads the tensors of the config; ``scalars`` are names of tensors without axes."""
        try:
            deadline = deadline_of(config, hung_at)
        except BadDeadline as error:
            raise pb_utils.TritonModelException(str(error)) from None
        if deadline is not None:
            self.execute = deadline.guarded(self.execute)
        self.batched = config["max_batch_size"] > 0
        # (name, is it a string, is it a scalar), and by name what outputs need afterwards.
        self._own_inputs, self._state_inputs = (
            [
                (entry["name"], entry["data_type"] == "TYPE_STRING", entry["name"] in scalars)
                for entry in entries
            ]
            for entries in (config["input"], state_entries(config, "input"))
        )
        self._inputs = self._own_inputs + self._state_inputs
        self._output_names = [entry["name"] for entry in config["output"]]
        self._finish = {
            entry["name"]: (entry["data_type"] == "TYPE_STRING", config_dims(entry))
            for entry in config["output"]
            if entry["data_type"] == "TYPE_STRING" or entry["name"] in scalars
        }
        self._states = states_of(config)
        self._state_names = self._states.output_names if self._states else []

    def run_arrays(self, names, feed):
        """The outputs of those names, in that order, for arrays by name."""
        raise NotImplementedError

    def execute(self, requests):
        """Answers every request, an error response included: an exception here kills the worker."""
        responses = [None] * len(requests)
        reached = [None] * len(requests)  # the state of each request's sequence
        groups = {}
        for index, request in enumerate(requests):
            if self._states and self._states.is_filler(request):
                responses[index] = pb_utils.InferenceResponse([])
                continue
            try:
                if self._states:
                    reached[index] = self._read_states(request)
                arrays = self._read(request, self._own_inputs) + (reached[index] or [])
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's answer
                responses[index] = _failure(error)
                continue
            # Unbatched requests must not be joined; the index keeps each in a group of its own.
            key = _rows(arrays) if self.batched else index
            groups.setdefault(key, []).append((index, request, arrays))
        for group in groups.values():
            if len(group) == 1 or not self._run_joined(group, responses, reached):
                self._run_alone(group, responses, reached)
        if self._states:
            self._states.settle(list(zip(requests, reached, strict=True)))
        return responses

    def finalize(self):
        """Triton's last call: the model is unloaded."""
        if self._states:
            self._states.close()

    def _read(self, request, inputs):
        """The request's arrays in the order of the config; None for an optional one left out."""
        arrays = []
        for name, is_string, is_scalar in inputs:
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            if tensor is None:
                arrays.append(None)
                continue
            array = tensor.as_numpy()
            if is_string:
                array = _decoded(name, array)
            arrays.append(array.reshape(()) if is_scalar else array)
        return arrays

    def _read_states(self, request):
        """Where the request's sequence stands; the initial states come with the request itself."""
        known = self._states.known(request)
        if known is not None:
            return known
        # Copies: what Triton gave is gone after this execution.
        initial = [np.array(array) for array in self._read(request, self._state_inputs)]
        return self._states.initial(initial)

    def _run_joined(self, group, responses, reached):
        """One run for the whole group; False where it fails, so that each can be run alone."""
        try:
            columns = zip(*(arrays for _, _, arrays in group), strict=True)
            joined = [None if c[0] is None else np.concatenate(c) for c in columns]
            sizes = [_size(arrays) for _, _, arrays in group]
            names = self._wanted([request for _, request, _ in group])
            results, states = self._run(names, joined)
            if any(array.shape[0] != sum(sizes) for array in (*results.values(), *states)):
                return False
            start = 0
            for (index, request, _), size in zip(group, sizes, strict=True):
                end = start + size
                rows = {name: array[start:end] for name, array in results.items()}
                responses[index] = self._response(request, rows)
                if states:  # copies: a slice would keep the states of the whole batch
                    reached[index] = [np.array(array[start:end]) for array in states]
                start = end
        except Exception:  # noqa: BLE001 - run alone, each request gets its own error or answer
            return False
        return True

    def _run_alone(self, group, responses, reached):
        for index, request, arrays in group:
            try:
                names = self._wanted([request])
                results, states = self._run(names, arrays)
                if self.batched:
                    named = zip(self._state_names, states, strict=True)
                    _check_rows({**results, **dict(named)}, _size(arrays))
                responses[index] = self._response(request, results)
                if states:
                    reached[index] = states
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's answer
                responses[index] = _failure(error)

    def _run(self, names, arrays):
        feed = {
            name: array
            for (name, _, _), array in zip(self._inputs, arrays, strict=True)
            if array is not None
        }
        wanted = names + [name for name in self._state_names if name not in names]
        found = dict(zip(wanted, self.run_arrays(wanted, feed), strict=True))
        states = [np.asarray(found[name]) for name in self._state_names]
        results = {name: found[name] for name in names}
        if self._finish:
            results = {
                name: self._finished(name, np.asarray(result)) for name, result in results.items()
            }
        return results, states

    def _finished(self, name, array):
        """The output as Triton takes it: bytes for strings, the declared shape for a scalar."""
        is_string, dims = self._finish.get(name, (False, None))
        if array.ndim == 0 and dims is not None:
            array = array.reshape(dims)
        return _encoded(array) if is_string else array

    def _wanted(self, requests):
        """Outputs that at least one of the requests asked for, in the order of the config."""
        if len(self._output_names) == 1:
            return self._output_names
        asked = {name for request in requests for name in request.requested_output_names()}
        return [name for name in self._output_names if name in asked] or self._output_names

    def _response(self, request, arrays):
        if len(self._output_names) > 1:
            asked = set(request.requested_output_names())
            arrays = {name: array for name, array in arrays.items() if name in asked}
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, array) for name, array in arrays.items()]
        )


def check_numpy():
    if int(np.__version__.split(".")[0]) >= 2:
        raise pb_utils.TritonModelException(
            f"numpy {np.__version__} corrupts tensors in Triton's Python backend; the server's "
            "Python needs numpy<2 (pip install 'numpy==1.26.4')"
        )


def config_dims(entry):
    reshape = entry.get("reshape")
    return [int(dim) for dim in (reshape.get("shape", []) if reshape else entry["dims"])]


def _failure(error):
    """An error response; the runtime's own messages are kept as they are."""
    text = str(error) or type(error).__name__
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text))


def _rows(arrays):
    """What two requests must have in common to be joined: everything but the batch size."""
    return tuple([None if array is None else array.shape[1:] for array in arrays])


def _size(arrays):
    return next(array.shape[0] for array in arrays if array is not None)


def _check_rows(results, size):
    for name, array in results.items():
        if array.ndim == 0 or array.shape[0] != size:
            raise ValueError(
                f"output {name!r} has shape {list(array.shape)} for a batch of {size}: the model "
                "does not keep its batch axis; declare it with max_batch_size: 0"
            )


def _decoded(name, array):
    """bytes, as Triton carries strings, to str, as ONNX Runtime takes them."""
    decoded = np.empty(array.size, dtype=object)
    for position, item in enumerate(array.reshape(-1)):
        try:
            decoded[position] = item.decode() if isinstance(item, bytes) else str(item)
        except UnicodeDecodeError as error:
            raise ValueError(f"input {name!r}: element {position} is not UTF-8: {error}") from None
    return decoded.reshape(array.shape)


def _encoded(array):
    """str, as ONNX Runtime gives strings, to bytes, as Triton carries them."""
    encoded = np.empty(array.size, dtype=object)
    for position, item in enumerate(array.reshape(-1)):
        encoded[position] = item if isinstance(item, bytes) else str(item).encode()
    return encoded.reshape(array.shape)
