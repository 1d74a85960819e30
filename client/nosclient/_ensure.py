"""A model that is not loaded goes in; where its server loads models on demand, it is loaded.

Generators that yield calls, as in ``_operations.py``. The manager is a model of the server, which
nosbuild's ``serve --models on-demand`` adds; whether there is one is seen in the repository index,
which is asked in any case once a model was not found. It is asked once for each request.
"""

from __future__ import annotations

import json

import numpy as np

from nosclient._call import Call, Deadline, Home, Operation, Tensor
from nosclient._errors import (
    DeadlineExceeded,
    InferenceFailed,
    ModelLoadFailed,
    ModelNotFound,
    ModelNotReady,
    NosClientError,
)
from nosclient._model_info import MODEL_MANAGER
from nosclient._refusals import is_managed, meaning, repository_index
from nosclient._service import PROBE_SECONDS

_SHARE, _MARGIN_SECONDS = 0.9, 0.1
"""Of the time that is left the manager gets less, so that it, which knows what was missing, answers
before it is over. It is better than cancelling, too: Triton 2.51 may lose count of a request that
is cancelled while its answer is on its way, and never unload that model."""
_DAY = 86400.0
"""Seconds, where there is no limit: the manager waits no longer."""
_STILL = "is still loading"
_FAILED = f"model {MODEL_MANAGER!r} failed: "


def loaded(
    error: ModelNotFound,
    name: str,
    version: str,
    otherwise: type[NosClientError],
    limit: Deadline,
    home: Home | None = None,
) -> Operation[NosClientError | None]:
    """Has the model loaded.

    Args:
        error: the server's.
        name: the model's.
        version: that was asked for, or empty.
        otherwise: what it is where the server calls the model ready, and has no manager.
        limit: until when it must be loaded.
        home: the server, where it must be a certain one.

    Returns:
        None where it is loaded now; otherwise what to raise.
    """
    home = home or Home()
    remaining = limit.remaining()
    patience = PROBE_SECONDS if remaining is None else min(PROBE_SECONDS, remaining)
    try:
        index = yield from repository_index(Deadline(patience), home)
    except NosClientError:
        return error
    rows = [row for row in index if row.name == name]
    other = [row.version for row in rows if row.state == "READY" and row.version != version]
    if not rows or name == MODEL_MANAGER or not is_managed(index) or (version and other):
        return meaning(error, index, name, version, otherwise)
    try:
        yield _ensure(name, limit.remaining(), home)
    except ModelNotFound as unknown:
        if MODEL_MANAGER in unknown.message:  # it is being loaded again itself
            return meaning(error, index, name, version, otherwise)
        return ModelNotFound(unknown.message)
    except ModelNotReady as refused:
        late = _STILL in refused.message
        return DeadlineExceeded(refused.message) if late else ModelNotReady(refused.message)
    except InferenceFailed as failed:
        return ModelLoadFailed(failed.message.removeprefix(_FAILED))
    except DeadlineExceeded:
        return DeadlineExceeded(
            f"model {name!r} was not loaded by the deadline; allow more with deadline=seconds"
        )
    except NosClientError as lost:
        return lost
    return None


def _ensure(name: str, timeout: float | None, home: Home) -> Call:
    patience = _DAY
    if timeout is not None:
        patience = max(0.001, min(timeout * _SHARE, timeout - _MARGIN_SECONDS))
    request = {"operation": "ensure", "model": name, "timeout": patience}
    text = np.array([json.dumps(request).encode()], dtype=np.object_)
    tensors = [Tensor("request", "BYTES", text)]
    return Call("infer", timeout, MODEL_MANAGER, tensors=tensors, outputs=["answer"], home=home)
