"""Every error nosclient raises on purpose; each says what was found and what to do.

NosClientError          the root; never raised itself
+-- InvalidInput        inputs, names, versions or urls that cannot be sent as they are
+-- ModelNotFound       the server has no such model, or not in that version
+-- ModelNotReady       the model is known but takes no request now: not loaded, loading, queue full
+-- ModelLoadFailed     the server tried to load the model and could not
+-- InferenceFailed     the model took the request and failed on it
|   +-- WorkerEnded     the process that runs the model has ended, with or before the request
+-- SequenceEnded       the sequence is over: closed, forgotten by the server, or broken off
+-- DeadlineExceeded    no answer in the time allowed; the request may still have run
+-- ServerUnavailable   nobody answers at the url, or the connection was lost
+-- Unauthorized        the server does not let this client in: a token, key or certificate
+-- UntrustedServer     the server's certificate is not what it must be; nothing was sent
+-- MessageTooLarge     a request or an answer is larger than is carried in one piece
+-- ServerError         any other refusal of the server, its status in the message
+-- ClientClosed        the client was used after close()
+-- NotAfterFork        gRPC was in use when the process was forked: it would hang in the child
+-- WrongEventLoop      an AsyncClient was used in two event loops at once
"""

from __future__ import annotations


class NosClientError(Exception):
    """Root of the tree.

    Attributes:
        message: what was found, where, and what helps.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(NosClientError):
    """Inputs, names, versions or urls that cannot be sent as they are."""


class ModelNotFound(NosClientError):
    """The server has no such model, or not in that version."""


class ModelNotReady(NosClientError):
    """The model is known but takes no request now: not loaded, still loading, its queue full."""


class ModelLoadFailed(NosClientError):
    """The server tried to load the model and could not; the message holds its reason."""


class InferenceFailed(NosClientError):
    """The model took the request and failed on it; the message holds its reason."""


class WorkerEnded(InferenceFailed):
    """The process that runs the model, or one that it calls, has ended: it crashed, was killed, or
    was given up as hung.

    Triton does not tell whether it ended with the request or before: what is sent again may end the
    next one as well.
    """


class SequenceEnded(NosClientError):
    """The sequence is over: closed, forgotten by the server, or broken off; begin a new one."""


class DeadlineExceeded(NosClientError):
    """No answer in the time allowed; the request may still have run."""


class ServerUnavailable(NosClientError):
    """Nobody answers at the url, or the connection was lost.

    Attributes:
        was_sent: False where the request never left, or the server stops and took none, so that
            nothing can have come of it.
        is_lost: False where it is only this request that a server, or a proxy before it, refused.
        endpoint: the number of the server among the client's, once that is known.
    """

    def __init__(self, message: str, *, was_sent: bool = True, is_lost: bool = True) -> None:
        super().__init__(message)
        self.was_sent = was_sent
        self.is_lost = is_lost
        self.endpoint: int | None = None


class Unauthorized(NosClientError):
    """The server does not let this client in: a token, a key or a certificate lacks or is wrong."""


class UntrustedServer(NosClientError):
    """The server's certificate is not trusted: its authority, its name, its dates."""


class MessageTooLarge(NosClientError):
    """A request or an answer is larger than the server, gRPC or a proxy carries in one piece."""


class ServerError(NosClientError):
    """Any other refusal of the server; the message holds its status."""


class ClientClosed(NosClientError):
    """The client was used after ``close()``."""


class NotAfterFork(NosClientError):
    """gRPC was in use when the process was forked: it would hang in the child."""


class WrongEventLoop(NosClientError):
    """An AsyncClient was used in an event loop, and belongs to another one that is not closed."""
