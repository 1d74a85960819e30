"""What is the version's fault, and what the moment's."""

from pathlib import Path

import pytest

from nosbuild.errors import HostError, RequestError
from nosbuild.rollout.loads import LoadFailed, Loads
from nosbuild.rollout.server import RunningServer
from nosbuild.runtime.model_manager import MODEL_MANAGER
from nosbuild.runtime.served_files import ServedFiles
from nosclient import ModelLoadFailed, ModelNotReady, ServerUnavailable
from nosclient._error_map import inference_failed

DEAD = "Failed to process the request(s) for model instance '{}_0_0', message: "
DEAD += "Stub process '{}_0_0' is not healthy."


class RaisingClient:
    """For what a caller makes of an error that no server raises when it is told to."""

    def __init__(self, error):
        self._error = error

    def run(self, *_, **__):
        raise self._error


def loads(error):
    server = RunningServer(
        Path("r"), ServedFiles(Path("s")), "", "", Path("l"), lambda: None, lambda _: None, True
    )
    return Loads(server, RaisingClient(error), 1.0, True)


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (
            inference_failed(MODEL_MANAGER, DEAD.format(MODEL_MANAGER, MODEL_MANAGER)),
            RequestError,
            "process of the model manager has ended",
        ),
        (
            inference_failed(MODEL_MANAGER, "model 'm' does not load: " + DEAD.format("m", "m")),
            LoadFailed,
            "Stub process 'm_0_0' is not healthy",
        ),
        (inference_failed(MODEL_MANAGER, "model 'm' does not load: no"), LoadFailed, "^no$"),
        (ModelLoadFailed("no"), LoadFailed, "^no$"),
        (ModelNotReady("no room"), RequestError, "no room"),
        (ServerUnavailable("gone"), HostError, "gone"),
    ],
)
def test_what_ended_is_told_apart(error, kind, text):
    with pytest.raises(kind, match=text):
        loads(error).load("m", [])
