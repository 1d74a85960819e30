"""A client of a server that another process started goes in; control of its models comes out.

Where the server loads on demand, only its model manager may load and unload, and tells what is
loaded; the client asks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nosbuild.errors import RequestError
from nosbuild.runtime.control import ControlRefused, ModelState, TritonControl

if TYPE_CHECKING:
    from nosclient import Client


@dataclass(frozen=True)
class ClientControl:
    """What ``loading.py`` needs of a server."""

    client: Client
    http: TritonControl
    """Of the same server, for configurations, which nosclient does not hand out whole."""

    def index(self) -> list[ModelState]:
        """As ``TritonControl.index``.

        Raises:
            ControlRefused: the server does not tell it this client.
        """
        from nosclient import NosClientError

        try:
            rows = self.client.list_models()
        except NosClientError as error:
            raise ControlRefused(error.message) from error
        return [ModelState(row.name, row.version, row.state, row.reason) for row in rows]

    def config(self, model: str) -> dict[str, Any]:
        """As ``TritonControl.config``."""
        return self.http.config(model)

    def unload(self, model: str, timeout: float) -> None:
        """Unloads the model.

        Raises:
            RequestError: the model manager keeps it: it is pinned, or a loaded model calls it.
        """
        from nosclient import InvalidInput, NosClientError

        try:
            self.client.unload_model(model, deadline=timeout)
        except InvalidInput as kept:
            raise RequestError(
                f"{model!r} must be unloaded first, a worker process of it has ended: "
                f"{kept.message}",
                "Then load it again.",
            ) from kept
        except NosClientError as error:
            raise ControlRefused(error.message) from error
