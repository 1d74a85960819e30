"""The model manager of a running server: whether it has one, and what it answers.

What may be asked: ``inside_triton/model_manager/nos_model_manager/asking.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nosclient import Client, ModelSummary

MODEL_MANAGER = "model_manager"
"""Its name as a model of the server."""
_LONGER_SECONDS = 5.0
"""Than the manager itself may take, which knows better why it was too long."""


def has_manager(models: Iterable[ModelSummary]) -> bool:
    """Whether it is among the models of a server, and ready."""
    return any(model.name == MODEL_MANAGER and model.state == "READY" for model in models)


def ask_manager(client: Client, operation: str, *, timeout: float, **more: Any) -> dict[str, Any]:
    """The manager's answer.

    Args:
        client: of the server.
        operation: ``ensure``, ``release``, ``pin``, ``unpin``, ``scale``, ``status`` or
            ``budget``.
        timeout: seconds that it may take.
        more: of the request.

    Raises:
        NosClientError: ModelNotFound for a model that it does not know, ModelNotReady where there
            is no room, InferenceFailed where a model does not load.
    """
    request = json.dumps({"operation": operation, "timeout": timeout, **more})
    answer = client.run(MODEL_MANAGER, {"request": [request]}, deadline=timeout + _LONGER_SECONDS)
    told: dict[str, Any] = json.loads(answer["answer"][0])
    return told


def told_by_manager(message: str) -> str:
    """A failure that it tells, without what the client says of who failed."""
    return message.removeprefix(f"model {MODEL_MANAGER!r} failed: ")
