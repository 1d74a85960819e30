"""A thin client for Triton Inference Server: numpy in, numpy out.

>>> with Client("localhost:8001") as client:
...     scores = client.run("breast_cancer", {"features": rows})["probabilities"]
"""

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
)
from nosclient._model_info import Duration, ModelInfo, ModelStatistics, ModelSummary, TensorInfo
from nosclient._service import ServiceInfo
from nosclient._stats import ClientStats, LatencyHistogram, ModelCalls, Traffic
from nosclient._tls import TLS
from nosclient._transport_kind import Transport
from nosclient.async_client import AsyncClient
from nosclient.async_model import AsyncModel
from nosclient.async_sequence import AsyncModelSequence
from nosclient.async_stream import AsyncStream
from nosclient.client import Client
from nosclient.model import Model
from nosclient.sequence import ModelSequence
from nosclient.stream import Stream

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
]
