"""A leg that reached another instance than the one its stream runs in goes on from there to it.

Triton gives a request to any instance of a model, each of which is a process of its own. So a
stream listens at a socket, in Linux's abstract namespace, under its id. An instance that gets a
leg of a stream that it does not run connects there, tells what the leg's client asked for, and
sends on what comes back: messages as in wire.py.
"""

import os
import select
import socket
import struct
import threading
from collections import deque

import triton_python_backend_utils as pb_utils
from nos_python_model.chunks import LEAST_CHUNK, size
from nos_python_model.stream import POLL_SECONDS
from nos_python_model.wire import read_message, write_message

_ASK_SECONDS = 5.0
"""Until another instance has told what it asks for."""
_ENDED = 64
"""Streams that have ended and listen yet."""


class Relay:
    """Both ends, of one instance."""

    def __init__(self):
        self._poll = select.epoll()
        self._listening = {}  # file descriptor -> socket, stream
        self._ended = deque()
        self._lock = threading.Lock()
        self._thread = None

    def open(self, stream):
        """Let other instances reach the stream.

        Raises:
            OSError: a stream of that id runs already.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(_address(stream.id))
            listener.listen()
        except OSError:
            listener.close()
            raise
        with self._lock:
            self._listening[listener.fileno()] = listener, stream
        self._poll.register(listener, select.EPOLLIN)
        if self._thread is None:
            self._thread = threading.Thread(target=self._accept, daemon=True)
            self._thread.start()

    def close(self, stream):
        """The stream has ended. It listens for a while yet, as a leg may be on its way."""
        with self._lock:
            self._ended.append(stream.id)
            if len(self._ended) <= _ENDED:
                return
            oldest = self._ended.popleft()
            number = next(n for n, (_, one) in self._listening.items() if one.id == oldest)
            self._poll.unregister(number)
            self._listening.pop(number)[0].close()

    def forward(self, leg):
        """Hand a leg to the instance that runs its stream; False where none does."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(_address(leg.stream))
        except OSError:  # nobody listens: the stream has ended
            connection.close()
            return False
        threading.Thread(target=_answer, args=(leg, connection), daemon=True).start()
        return True

    def _accept(self):
        while True:
            for number, _ in self._poll.poll():
                listener, stream = self._listening.get(number, (None, None))
                if listener is None:
                    continue
                try:
                    connection = listener.accept()[0]
                    if _is_ours(connection):
                        stream.offer(RemoteLeg(connection))
                except (OSError, EOFError):  # closed in the meantime, at either end
                    continue


class RemoteLeg:
    """A leg that another instance holds; see ``stream_leg.Leg``."""

    def __init__(self, connection):
        self._connection = connection
        self._file = connection.makefile("wb")
        connection.settimeout(_ASK_SECONDS)  # nobody else is accepted meanwhile
        with connection.makefile("rb") as file:
            asked = read_message(file)
        connection.settimeout(None)
        self._outputs = set(asked["outputs"])
        self.window = asked["window"]
        self.stops = asked["stops"]
        self.used = 0
        self._is_gone = False

    @property
    def has_room(self):
        return self.used < self.window

    def is_cancelled(self):
        """Whether the other instance closed the connection, as it does where its leg is."""
        if not self._is_gone:
            try:
                peeked = self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
                self._is_gone = not peeked
            except BlockingIOError:
                return False
            except OSError:
                self._is_gone = True
        return self._is_gone

    def send(self, outputs):
        wanted = {n: array for n, array in outputs.items() if n in self._outputs}
        self._say({"chunk": wanted or outputs})
        self.used += max(size(outputs), LEAST_CHUNK)

    def hand_over(self):
        self._last({"hand_over": True})

    def end(self):
        self._last({"end": True})

    def fail(self, response):
        self._last({"error": response.error().message()})

    def _say(self, message):
        try:
            write_message(self._file, message)
        except OSError:
            self._is_gone = True

    def _last(self, message):
        self._say(message)
        try:
            self._file.close()
        except OSError:  # what could not be said cannot be flushed either
            self._is_gone = True
        self._connection.close()


def _answer(leg, connection):
    """Send on a leg what its stream, in another instance, says."""
    # Unbuffered, so that select() knows of all that there is to read.
    with connection, connection.makefile("rb", buffering=0) as file:
        try:
            with connection.makefile("wb") as asking:
                asked = {"window": leg.window, "outputs": sorted(leg.outputs), "stops": leg.stops}
                write_message(asking, asked)
            while True:
                while not select.select([connection], [], [], POLL_SECONDS)[0]:
                    if leg.is_cancelled():
                        leg.end()
                        return
                message = read_message(file)
                if "chunk" not in message:
                    break
                leg.send(message["chunk"])
        except (OSError, EOFError):
            message = {"error": "the instance that ran the stream has ended"}
    if "error" in message:
        error = pb_utils.TritonError(message["error"])
        leg.fail(pb_utils.InferenceResponse(error=error))
    elif "hand_over" in message:
        leg.hand_over()
    else:
        leg.end()


def _is_ours(connection):
    """Whether the other end is a process of this user: every user sees such a socket's name."""
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    return user == os.getuid()


def _address(stream):
    return f"\0nosbuild-stream-{stream}"
