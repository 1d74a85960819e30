"""Messages with arrays, as bytes over a pipe: between a build and a model's own Python.

Both ends may have different versions of Python and numpy, so nothing is pickled. A message is

    8 bytes  length of the header, big endian
    header   JSON: {"message": ..., "arrays": [{"dtype", "shape", "bytes"}, ...]}
    arrays   one after the other: raw C order, little endian; strings each as a
             length of 4 bytes, little endian, and the bytes (Triton's own form)

An array anywhere inside the message stands in its JSON as ``{"$array": position}``.
"""

import json
import struct

import numpy as np

_LENGTH = struct.Struct(">Q")
_STRING_LENGTH = struct.Struct("<I")
_ARRAY = "$array"


def write_message(stream, message):
    """Write one message and flush.

    Args:
        stream: a binary file.
        message: what JSON can carry (dicts with text keys, lists, text, numbers, None), with numpy
            arrays and numpy scalars anywhere in it; object, ``U`` and ``S`` arrays are strings.

    Raises:
        TypeError: something else in the message.
    """
    arrays, entries = [], []
    body = _outgoing(message, arrays, entries)
    header = json.dumps({"message": body, "arrays": entries}).encode()
    stream.write(_LENGTH.pack(len(header)))
    stream.write(header)
    for data in arrays:
        stream.write(data)
    stream.flush()


def read_message(stream):
    """The next message; strings come back as object arrays of ``bytes``.

    Raises:
        EOFError: the other end closed, between messages or within one.
    """
    header = json.loads(_exactly(stream, _LENGTH.unpack(_exactly(stream, _LENGTH.size))[0]))
    arrays = [_array(entry, _exactly(stream, entry["bytes"])) for entry in header["arrays"]]
    return _incoming(header["message"], arrays)


def _outgoing(value, arrays, entries):
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        data, dtype = _bytes_of(array)
        arrays.append(data)
        entries.append({"dtype": dtype, "shape": list(array.shape), "bytes": len(data)})
        return {_ARRAY: len(entries) - 1}
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"a message has text keys, not {key!r}")
        return {key: _outgoing(item, arrays, entries) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_outgoing(item, arrays, entries) for item in value]
    return value


def _incoming(value, arrays):
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return arrays[value[_ARRAY]]
        return {key: _incoming(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_incoming(item, arrays) for item in value]
    return value


def _bytes_of(array):
    if array.dtype.kind in "OUS":
        parts = []
        for item in array.reshape(-1).tolist():
            if not isinstance(item, (str, bytes)):
                raise TypeError(f"an array of strings holds {item!r}")
            data = item.encode() if isinstance(item, str) else item
            parts += (_STRING_LENGTH.pack(len(data)), data)
        return b"".join(parts), "string"
    if array.dtype.kind not in "biuf":
        raise TypeError(f"an array of {array.dtype} cannot be sent")
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(), array.dtype.name


def _array(entry, data):
    if entry["dtype"] == "string":
        items = np.empty(int(np.prod(entry["shape"], dtype=np.int64)), dtype=object)
        start = 0
        for position in range(items.size):
            (size,) = _STRING_LENGTH.unpack_from(data, start)
            start += _STRING_LENGTH.size
            items[position] = data[start : start + size]
            start += size
        return items.reshape(entry["shape"])
    dtype = np.dtype(entry["dtype"])
    # A copy, which may be written to; bytes may not.
    array = np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype)
    return array.reshape(entry["shape"])


def _exactly(stream, size):
    parts = []
    while size:
        part = stream.read(size)
        if not part:
            raise EOFError("the other end closed the pipe")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
