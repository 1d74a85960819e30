"""A thin client for Triton Inference Server: numpy in, numpy out.

>>> with Client("localhost:8001") as client:
...     scores = client.run("breast_cancer", {"features": rows})["probabilities"]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nosclient._errors import (
    ClientClosed,
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    MessageTooLarge,
    ModelLoadFailed,
    ModelNotFound,
    ModelNotReady,
    NosClientError,
    NotAfterFork,
    SequenceEnded,
    ServerError,
    ServerUnavailable,
    Unauthorized,
    UntrustedServer,
    WorkerEnded,
    WrongEventLoop,
)
from nosclient._model_info import Duration, ModelInfo, ModelStatistics, ModelSummary, TensorInfo
from nosclient._service import ServiceInfo
from nosclient._stats import ClientStats, LatencyHistogram, ModelCalls, Traffic
from nosclient._tls import TLS
from nosclient._transport_kind import Transport
from nosclient.client import Client
from nosclient.model import Model
from nosclient.sequence import ModelSequence
from nosclient.stream import Stream

if TYPE_CHECKING:
    from nosclient.async_client import AsyncClient
    from nosclient.async_model import AsyncModel
    from nosclient.async_sequence import AsyncModelSequence
    from nosclient.async_stream import AsyncStream

__version__ = "0.1.0"

__all__ = [
    "TLS",
    "AsyncClient",
    "AsyncModel",
    "AsyncModelSequence",
    "AsyncStream",
    "Client",
    "ClientClosed",
    "ClientStats",
    "DeadlineExceeded",
    "Duration",
    "InferenceFailed",
    "InvalidInput",
    "LatencyHistogram",
    "MessageTooLarge",
    "Model",
    "ModelCalls",
    "ModelInfo",
    "ModelLoadFailed",
    "ModelNotFound",
    "ModelNotReady",
    "ModelSequence",
    "ModelStatistics",
    "ModelSummary",
    "NosClientError",
    "NotAfterFork",
    "SequenceEnded",
    "ServerError",
    "ServerUnavailable",
    "ServiceInfo",
    "Stream",
    "TensorInfo",
    "Traffic",
    "Transport",
    "Unauthorized",
    "UntrustedServer",
    "WorkerEnded",
    "WrongEventLoop",
]

_LATER = {
    "AsyncClient": "nosclient.async_client",
    "AsyncModel": "nosclient.async_model",
    "AsyncModelSequence": "nosclient.async_sequence",
    "AsyncStream": "nosclient.async_stream",
}
"""Imported when they are first asked for: asyncio takes as long as all the rest of nosclient."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(_LATER[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# Tracebacks show where people import them from. Other classes stay what they are: their annotations
# are looked up in the module that they name.
for _public in set(__all__) - set(_LATER):
    if issubclass(globals()[_public], NosClientError):
        globals()[_public].__module__ = __name__
del _public
