"""A thin client for Triton Inference Server: numpy in, numpy out.

>>> with Client("localhost:8001") as client:
...     scores = client.run("breast_cancer", {"features": rows})["probabilities"]
"""

from nosclient._errors import (
    ClientClosed,
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    ModelLoadFailed,
    ModelNotFound,
    ModelNotReady,
    NosClientError,
    ServerError,
    ServerUnavailable,
)
from nosclient._model_info import Duration, ModelInfo, ModelStatistics, ModelSummary, TensorInfo
from nosclient.async_client import AsyncClient
from nosclient.client import Client

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "Client",
    "ClientClosed",
    "DeadlineExceeded",
    "Duration",
    "InferenceFailed",
    "InvalidInput",
    "ModelInfo",
    "ModelLoadFailed",
    "ModelNotFound",
    "ModelNotReady",
    "ModelStatistics",
    "ModelSummary",
    "NosClientError",
    "ServerError",
    "ServerUnavailable",
    "TensorInfo",
]
