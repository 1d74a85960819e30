"""The server that this model runs in, over its own HTTP port.

Never ``pb_utils.load_model``: it holds the interpreter's lock for the whole of a load.
"""

import http.client
import json
from urllib.parse import quote

from .autoscaling import Usage
from .reasons import clean_reason

QUICK_SECONDS = 10.0


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

    def load(self, name, timeout, config=None):
        """Loads the model, or loads it again; returns once it is ready.

        Args:
            name: the model's.
            timeout: seconds.
            config: JSON-able ModelConfig in place of its config.pbtxt.

        Raises:
            ServerRefused: with Triton's reason.
            OSError: no answer in ``timeout`` seconds, or none at all.
        """
        # Of config, the text: https://github.com/triton-inference-server/server/blob/main/docs/
        # protocol/extension_model_repository.md
        asked = {} if config is None else {"parameters": {"config": json.dumps(config)}}
        self._call("POST", f"/v2/repository/models/{quote(name, safe='')}/load", timeout, asked)

    def begin_unload(self, name):
        """Begins its unloading: what is in flight is answered first.

        Raises:
            ServerRefused: with Triton's reason.
            OSError: no answer.
        """
        self._call("POST", f"/v2/repository/models/{quote(name, safe='')}/unload", QUICK_SECONDS)

    def config(self, name):
        """Of a model that is loaded, as JSON-able data.

        Raises:
            ServerRefused: with Triton's reason.
            OSError: no answer.
        """
        return self._call("GET", f"/v2/models/{quote(name, safe='')}/config", QUICK_SECONDS)

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

    def usage(self):
        """Loaded model -> its Usage; of several versions, together."""
        found = {}
        for row in self._call("GET", "/v2/models/stats", QUICK_SECONDS).get("model_stats", ()):
            found[row["name"]] = found.get(row["name"], Usage()).with_more(_usage(row))
        return found

    def _call(self, method, path, timeout, asked=None):
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            headers = {"Connection": "close", **self._headers}
            body = json.dumps(asked or {}).encode() if method == "POST" else None
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            body = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error) or type(error).__name__) from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise ServerRefused(_reason(body, answer.status))
        return json.loads(body) if body else None


def _usage(row):
    """Source of the format: Triton's statistics extension,
    https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
    """
    counted = row.get("inference_stats", {})

    def seconds(what):
        return int(counted.get(what, {}).get("ns", 0)) / 1e9

    return Usage(
        int(row.get("last_inference", 0)) / 1000,
        int(counted.get("queue", {}).get("count", 0)),
        int(row.get("execution_count", 0)),
        seconds("queue"),
        seconds("compute_input") + seconds("compute_infer") + seconds("compute_output"),
    )


def _reason(body, status):
    try:
        text = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace") or f"HTTP status {status}"
    return clean_reason(text)
