"""The server that this model runs in, over its own HTTP port.

Never ``pb_utils.load_model``: it holds the interpreter's lock for the whole of a load.
"""

import http.client
import json
import time
from urllib.parse import quote

from .reasons import clean_reason

QUICK_SECONDS = 10.0
_POLL_SECONDS = 0.02


class ServerRefused(Exception):
    """The server's answer is no; the text is its reason."""


class OwnServer:
    """Its endpoints for models.

    Args:
        host: that it listens on.
        port: for HTTP.
        headers: that its repository endpoints want.
    """

    def __init__(self, host, port, headers=None):
        self._host = host
        self._port = port
        self._headers = dict(headers or {})

    def load(self, name, timeout):
        """Loads the model, or its newest version again; returns once it is ready.

        Raises:
            ServerRefused: with Triton's reason.
            OSError: no answer in ``timeout`` seconds, or none at all.
        """
        self._call("POST", f"/v2/repository/models/{quote(name, safe='')}/load", timeout)

    def unload(self, name, timeout):
        """Unloads it; returns once what was in flight is answered and the index says it is gone.

        Raises:
            ServerRefused: with Triton's reason.
            OSError: no answer, or not gone in ``timeout`` seconds.
        """
        end = time.monotonic() + timeout
        path = f"/v2/repository/models/{quote(name, safe='')}/unload"
        self._call("POST", path, QUICK_SECONDS)
        while self.states().get(name, "UNAVAILABLE") != "UNAVAILABLE":
            if time.monotonic() > end:
                raise TimeoutError(f"{name!r} is not unloaded after {timeout:g} s")
            time.sleep(_POLL_SECONDS)

    def index(self):
        """The rows of Triton's own index: name, and where it has them version, state, reason."""
        return self._call("POST", "/v2/repository/index", QUICK_SECONDS)

    def states(self):
        """Model -> READY, LOADING, UNLOADING or UNAVAILABLE; several versions are one model."""
        found = {}
        for row in self.index():
            found.setdefault(row["name"], set()).add(row.get("state", "") or "UNAVAILABLE")
        order = ("READY", "LOADING", "UNLOADING")
        return {
            name: next((state for state in order if state in states), "UNAVAILABLE")
            for name, states in found.items()
        }

    def last_used(self):
        """Loaded model -> when its last request was answered, in seconds since the epoch."""
        found = {}
        for row in self._call("GET", "/v2/models/stats", QUICK_SECONDS).get("model_stats", ()):
            last = int(row.get("last_inference", 0)) / 1000
            found[row["name"]] = max(last, found.get(row["name"], 0.0))
        return {name: last for name, last in found.items() if last}

    def _call(self, method, path, timeout):
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            headers = {"Connection": "close", **self._headers}
            connection.request(method, path, b"{}" if method == "POST" else None, headers)
            answer = connection.getresponse()
            body = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error) or type(error).__name__) from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise ServerRefused(_reason(body, answer.status))
        return json.loads(body) if body else None


def _reason(body, status):
    try:
        text = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace") or f"HTTP status {status}"
    return clean_reason(text)
