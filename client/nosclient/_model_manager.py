"""What a server's model manager is asked goes in; the call, and what its refusal means, come out.

The manager is a model of the server, which nosbuild's ``serve --models on-demand`` adds: only it
loads and unloads there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nosclient._call import Call, Home, Tensor
from nosclient._errors import (
    DeadlineExceeded,
    InferenceFailed,
    ModelLoadFailed,
    ModelNotFound,
    ModelNotReady,
    NosClientError,
    ServerError,
)
from nosclient._model_info import MODEL_MANAGER, ModelSummary

_SHARE, _MARGIN_SECONDS = 0.9, 0.1
"""Of the time that is left the manager gets less, so that it, which knows what was missing, answers
before it is over. It is better than cancelling, too: Triton 2.51 may lose count of a request that
is cancelled while its answer is on its way, and never unload that model."""
_DAY = 86400.0
"""Seconds, where there is no limit: the manager waits no longer."""
_LATE = ("is still loading", "still has requests to answer", "did not answer in time")
"""Its words where the time that it was given was over."""
_ENDED = f"Stub process '{MODEL_MANAGER}_"
"""In Triton's words for a request that its worker process did not outlive, or never saw; who
started the server loads it again."""
_FAILED = f"model {MODEL_MANAGER!r} failed: "
_NEVER_LOADED = "is not found"
"""Triton's words for a model that is not in its repository, or was never loaded."""

Asked = Literal["ensure", "release", "index"]


def is_managed(index: Sequence[ModelSummary]) -> bool:
    """Whether the server loads models on demand."""
    return any(row.name == MODEL_MANAGER and row.state == "READY" for row in index)


def to_manager(operation: Asked, timeout: float | None, home: Home, **more: Any) -> Call:
    """The call that asks the manager of a server; ``timeout``: seconds left for it."""
    patience = _DAY
    if timeout is not None:
        margin = 0.0 if operation == "index" else _MARGIN_SECONDS  # that is there in no time
        patience = max(0.001, min(timeout * _SHARE, timeout - margin))
    request = {"operation": operation, "timeout": patience, **more}
    text = np.array([json.dumps(request).encode()], dtype=np.object_)
    tensors = [Tensor("request", "BYTES", text)]
    return Call("infer", timeout, MODEL_MANAGER, tensors=tensors, outputs=["answer"], home=home)


def told_by_manager(answer: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """What it answered."""
    told: dict[str, Any] = json.loads(answer["answer"].reshape(-1)[0])
    return told


def has_no_manager(error: ModelNotFound) -> bool:
    """Whether Triton says that it never had one; it could be away for a moment instead."""
    return MODEL_MANAGER in error.message and _NEVER_LOADED in error.message


def refused_by_manager(error: NosClientError, name: str, what: str) -> NosClientError:
    """What the refusal means for a model that was to be ``loaded`` or ``unloaded`` (``what``)."""
    if isinstance(error, ModelNotFound):
        if MODEL_MANAGER in error.message:
            return manager_is_away()
        return ModelNotFound(error.message)
    if isinstance(error, ModelNotReady):
        return late_or_not_ready(error)
    if isinstance(error, InferenceFailed):
        if has_ended(error):
            return manager_is_away()
        reason = error.message.removeprefix(_FAILED)
        return ModelLoadFailed(reason) if what == "loaded" else ServerError(reason)
    if isinstance(error, DeadlineExceeded):
        return not_by_the_deadline(name, what)
    return error


def not_by_the_deadline(name: str, what: str) -> DeadlineExceeded:
    """``what``: loaded, or unloaded."""
    return DeadlineExceeded(
        f"model {name!r} was not {what} by the deadline; allow more with deadline=seconds"
    )


def not_known_yet(name: str) -> ModelNotFound:
    """For a model that is in the server's repository, and unknown to the manager."""
    return ModelNotFound(
        f"the server's model manager does not know {name!r}, which is in its repository: "
        f"'nosbuild load {name}' makes a model known that was built since the start"
    )


def late_or_not_ready(error: ModelNotReady) -> NosClientError:
    """The manager says with one status that there is no room, and that the time is over."""
    is_late = any(sign in error.message for sign in _LATE)
    return (DeadlineExceeded if is_late else ModelNotReady)(error.message)


def has_ended(error: InferenceFailed) -> bool:
    """Whether it is the manager's own worker process that is gone."""
    return _ENDED in error.message


def manager_is_away() -> ModelNotReady:
    """For a manager that is loaded again just now."""
    return ModelNotReady(
        "the server's model manager, which alone tells, loads and unloads its models, is not "
        "ready; ask again in 1 s"
    )
