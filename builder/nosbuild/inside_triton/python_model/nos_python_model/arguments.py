"""Tensors as Triton gives them go in; the values that the user's method takes come out."""

import io

import numpy as np


class BadInput(Exception):
    """A request that the model cannot take; the message names the input."""


class Argument:
    """One argument of the method and the input it is read from.

    ``is_option``: one value for a whole call of a method that takes batches. ``is_array``: requests
    are joined by concatenating it; otherwise by making one list of their rows. ``is_plain``: the
    method takes the tensor as it is.
    """

    def __init__(self, entry, takes):
        self.name = entry["name"]
        self.shape = entry["shape"]
        self.nullable = entry["nullable"]
        self.is_option = entry["option"]
        self._depth = entry["kind"].count("[")
        innermost = entry["kind"].rpartition("[")[2].rstrip("]")
        self._is_scalar = self.shape == []
        self.is_array = (
            takes == "batch" and not self.is_option and innermost == "array" and not self._depth
        )
        if innermost == "array":
            self._read = self._text_arrays if entry["dtype"] == "string" else _split
            self.is_plain = self.is_array and entry["dtype"] != "string" and not self._is_scalar
        else:
            self._read = {"str": self._texts, "image": self._images}.get(innermost, _values)
            self.is_plain = False
        if self._is_scalar and innermost == "str":
            self.rows = self._scalar_texts

    def whole(self, array):
        """The value for a batch: an array, or a list with one value a row."""
        if self._is_scalar:
            array = array.reshape(-1)
        return self._read(array, self._depth)

    def rows(self, array):
        """One value for each row of a batch."""
        if self._is_scalar:
            array = array.reshape(-1)
        return self._read(array, self._depth + 1)

    def option(self, array):
        """The one value of an argument that holds for the whole call."""
        values = self.rows(array)
        if any(value != values[0] for value in values):
            raise BadInput(
                f"input {self.name!r} is one value for the whole call, but the rows of the request "
                f"differ: {values[0]!r} and others"
            )
        return values[0]

    def _scalar_texts(self, array):
        try:
            return [item.decode() for item in array.reshape(-1).tolist()]
        except UnicodeDecodeError:
            return self._texts(array.reshape(-1), 1)  # raises what is to be told

    def _texts(self, array, depth):
        try:
            return _mapped(bytes.decode, array.tolist(), depth)
        except UnicodeDecodeError as error:
            raise BadInput(f"input {self.name!r} is not UTF-8: {error}") from error

    def _text_arrays(self, array, depth):
        decoded = np.empty(array.size, dtype=object)
        decoded[:] = self._texts(array.reshape(-1), 1)
        return _split(decoded.reshape(array.shape), depth)

    def _images(self, array, depth):
        try:
            return _mapped(_image, array.tolist(), depth)
        except Exception as error:
            raise BadInput(
                f"input {self.name!r}: is no image that Pillow can read: {error}"
            ) from error


def _values(array, depth):
    return array.tolist()


def _split(array, depth):
    """Lists of arrays, nested ``depth`` times."""
    if depth == 0:
        return array
    return list(array) if depth == 1 else [_split(part, depth - 1) for part in array]


def _mapped(function, values, depth):
    if depth == 1:
        return [function(value) for value in values]
    return [_mapped(function, value, depth - 1) for value in values]


def _image(data):
    from PIL import Image

    image = Image.open(io.BytesIO(data))
    image.load()  # now, so that a broken file is told as such
    return image
