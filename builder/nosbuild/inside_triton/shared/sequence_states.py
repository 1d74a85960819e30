"""The states of a model's sequences, kept from request to request.

Enters: a request, and later the states after it. Leaves: the states that its sequence has reached.

Triton gives a Python-based backend the initial state with every request, whatever came before:
it keeps states only for backends that write them through its C interface. This file keeps them
for the others, from the same config.pbtxt (``sequence_batching { state ... }``).
Format: Triton's docs/user_guide/implicit_state_management.md.
"""

import threading
import time
from collections import OrderedDict

import numpy as np
import triton_python_backend_utils as pb_utils

_LATE = 2.0
"""States outlive Triton's own limit by this factor: it looks for idle sequences now and then, and
must never let a request through whose state is gone."""


class SequenceStates:
    """States by correlation id; of one instance, to which Triton pins a sequence."""

    def __init__(self, section):
        """``section``: of the config, ``sequence_batching`` with at least one ``state``."""
        self.output_names = [state["output_name"] for state in section["state"]]
        self._is_set = [bool(state.get("initial_state")) for state in section["state"]]
        idle = int(section.get("max_sequence_idle_microseconds") or 1_000_000) / 1e6
        self._limit = _LATE * idle + 1.0
        self._kept = OrderedDict()  # id -> (when, arrays), the longest idle first
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="idle sequences", daemon=True)
        self._sweeper.start()

    def is_filler(self, request):
        """True for what the direct strategy puts into the slots of sequences that do not run.

        No request of a client has this id: Triton refuses 0.
        """
        return request.correlation_id() == 0

    def known(self, request):
        """Where the request's sequence stands, in the order of the config; None at its start.

        Raises:
            ValueError: the sequence is not known here.
        """
        if request.flags() & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START:
            return None
        identity = request.correlation_id()
        with self._lock:
            found = self._kept.get(identity)
        if found is None:
            raise ValueError(
                f"sequence {identity} has no state here: the model was loaded again since, or its "
                "worker was; start the sequence again"
            )
        return found[1]

    def initial(self, given):
        """The first states; ``given`` are those that came with the request.

        Without ``initial_state`` in the config, Triton gives whatever its memory held.
        """
        return [
            array if is_set or array.dtype == object else np.zeros_like(array)
            for array, is_set in zip(given, self._is_set, strict=True)
        ]

    def settle(self, steps):
        """Keep what the sequences of one execution have reached, and drop those that ended.

        Args:
            steps: each request with its new states: those it came with where it failed; None
                where it came with none.
        """
        now = time.monotonic()
        ends = pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END
        with self._lock:
            # Ends first: another sequence may start under the same id in the same execution.
            for request, _ in steps:
                if request.flags() & ends:
                    self._kept.pop(request.correlation_id(), None)
            for request, arrays in steps:
                if arrays is not None and not request.flags() & ends:
                    identity = request.correlation_id()
                    self._kept[identity] = (now, arrays)
                    self._kept.move_to_end(identity)

    def close(self):
        """Ends the thread that looks for idle sequences."""
        self._closing.set()
        self._sweeper.join()

    def _sweep(self):
        while not self._closing.wait(self._limit / 4):
            oldest = time.monotonic() - self._limit
            with self._lock:
                while self._kept and next(iter(self._kept.values()))[0] < oldest:
                    self._kept.popitem(last=False)


def states_of(config):
    """The states of a config; None for a model without."""
    section = config.get("sequence_batching") or {}
    return SequenceStates(section) if section.get("state") else None


def state_entries(config, which):
    """States as ``input`` or ``output`` entries of a config: name, data_type and dims."""
    return [
        {"name": state[f"{which}_name"], "data_type": state["data_type"], "dims": state["dims"]}
        for state in (config.get("sequence_batching") or {}).get("state", [])
    ]
