"""Chunks of a stream, output -> array, go in; how many bytes they are, or all of them, come out."""

import numpy as np

LEAST_CHUNK = 1024
"""A smaller chunk counts as so many bytes: that is about what it costs Triton, and Python."""
MOST_COLLECTED = 1 << 28


class EndlessStream(RuntimeError):
    """A stream is longer than anybody can hold whose end must be seen."""


class Collected:
    """A whole stream: ``chunks`` is all that was added."""

    def __init__(self):
        self.chunks = []
        self._size = 0

    def add(self, chunk):
        """Keep one more; raises EndlessStream where it is too much."""
        self._size += max(size(chunk), LEAST_CHUNK)
        if self._size > MOST_COLLECTED:
            raise EndlessStream(
                f"it yields {MOST_COLLECTED >> 20} MiB and more ({len(self.chunks)} chunks); a "
                "build waits for the end of a stream: let the sample ask for a shorter one"
            )
        self.chunks.append(chunk)


def size(outputs):
    """Bytes of a chunk as Triton carries them."""
    return sum(_bytes(array) for array in outputs.values())


def _bytes(array):
    if array.dtype != np.object_:
        return array.nbytes
    return sum(len(item) + 4 for item in array.reshape(-1).tolist())
