"""Triton's own HTTP endpoints for health and model control.

Source of the formats: the KServe v2 protocol and Triton's model repository extension,
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from nosbuild.inside_triton.model_manager.nos_model_manager.reasons import clean_reason

_QUICK_SECONDS = 5.0


class ControlRefused(Exception):
    """Triton's answer to a control call, where it is no; ``reason`` is cleaned of Triton's frame.

    Callers turn it into an error of the tree that fits what they were asked for.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class ModelState:
    """One version of a model in the server's repository index."""

    name: str
    version: str
    state: str
    """``READY``, ``LOADING``, ``UNLOADING``, ``UNAVAILABLE``; empty: never loaded."""
    reason: str


@dataclass(frozen=True)
class TritonControl:
    """The control endpoints of one server."""

    host: str
    port: int
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers with the keys of APIs that are restricted."""

    def is_live(self) -> bool:
        """True once the server answers."""
        try:
            status, _ = self._call("GET", "/v2/health/live", _QUICK_SECONDS)
        except OSError:
            return False
        return status == http.client.OK

    def load(self, model: str, timeout: float) -> None:
        """Loads the model, or its newest version again.

        Raises:
            ControlRefused: it does not load.
            OSError: no answer; TimeoutError: none within ``timeout`` seconds.
        """
        self._command(f"/v2/repository/models/{quote(model, safe='')}/load", timeout)

    def unload(self, model: str, timeout: float) -> None:
        """Unloads the model once its requests in flight are answered.

        Raises:
            ControlRefused: there is no such model.
            OSError: no answer; TimeoutError: none within ``timeout`` seconds.
        """
        self._command(f"/v2/repository/models/{quote(model, safe='')}/unload", timeout)

    def config(self, model: str) -> dict[str, Any]:
        """The configuration of a loaded model, as Triton completed it.

        Raises:
            ControlRefused: it is not loaded.
            OSError: no answer.
        """
        path = f"/v2/models/{quote(model, safe='')}/config"
        config: dict[str, Any] = self._command(path, _QUICK_SECONDS, "GET")
        return config

    def index(self) -> list[ModelState]:
        """Every model of the repository, loaded or not; several versions are several entries."""
        entries = self._command("/v2/repository/index", _QUICK_SECONDS)
        return [
            ModelState(
                entry["name"],
                entry.get("version", ""),
                entry.get("state", ""),
                clean_reason(entry.get("reason", "")),
            )
            for entry in entries
        ]

    def _command(self, path: str, timeout: float, method: str = "POST") -> Any:
        status, body = self._call(method, path, timeout, b"{}" if method == "POST" else None)
        if status != http.client.OK:
            try:
                text = json.loads(body)["error"]
            except (ValueError, KeyError):
                text = body.decode(errors="replace") or f"HTTP status {status}"
            raise ControlRefused(clean_reason(text))
        return json.loads(body) if body else None

    def _call(
        self, method: str, path: str, timeout: float, body: bytes | None = None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            # Triton waits for open connections when it stops.
            connection.request(method, path, body, {"Connection": "close", **self.keys})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error) or type(error).__name__) from error
        finally:
            connection.close()
