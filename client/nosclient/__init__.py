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
    SequenceEnded,
    ServerError,
    ServerUnavailable,
    Unauthorized,
    UntrustedServer,
)
from nosclient._model_info import Duration, ModelInfo, ModelStatistics, ModelSummary, TensorInfo
from nosclient._tls import TLS
from nosclient.async_client import AsyncClient
from nosclient.async_sequence import AsyncModelSequence
from nosclient.async_stream import AsyncStream
from nosclient.client import Client
from nosclient.sequence import ModelSequence
from nosclient.stream import Stream

__version__ = "0.1.0"

__all__ = [
    "TLS",
    "AsyncClient",
    "AsyncModelSequence",
    "AsyncStream",
    "Client",
    "ClientClosed",
    "DeadlineExceeded",
    "Duration",
    "InferenceFailed",
    "InvalidInput",
    "MessageTooLarge",
    "ModelInfo",
    "ModelLoadFailed",
    "ModelNotFound",
    "ModelNotReady",
    "ModelSequence",
    "ModelStatistics",
    "ModelSummary",
    "NosClientError",
    "SequenceEnded",
    "ServerError",
    "ServerUnavailable",
    "Stream",
    "TensorInfo",
    "Unauthorized",
    "UntrustedServer",
]
