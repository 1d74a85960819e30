"""Tensors as Triton gives them go in; the values that the user's method takes come out."""

import io

import numpy as np


class BadInput(Exception):
    """A request that the model cannot take; the message names the input."""


class Argument:
    """One argument of the method and the input it is read from."""

    def __init__(self, entry, takes):
        self.name = entry["name"]
        self.optional = entry["optional"]
        self.nullable = entry["nullable"]
        self.is_option = entry["option"]
        self.is_text = entry["dtype"] == "string"
        innermost = entry["kind"].rpartition("[")[2].rstrip("]")
        self._leaf = _LEAVES.get(innermost)
        self._is_array = innermost == "array"
        self._depth = entry["kind"].count("[")
        self._is_scalar = entry["shape"] == []
        # What the lists around a value, or an array's first axis, stand for in a batch.
        self._whole = takes == "batch" and not self.is_option
        self.is_plain = self._whole and self._is_array and not (self._depth or self.is_text)
        """The method takes the tensor as it is."""

    @property
    def is_joined_array(self):
        """Requests are joined by concatenating it; otherwise by making one list of their rows."""
        return self._whole and self._is_array and self._depth == 0

    def whole(self, array):
        """The value for a batch: an array, or a list with one value a row."""
        if self._is_scalar:
            array = array.reshape(-1)
        if self.is_joined_array:
            return _decoded(self.name, array) if self.is_text else array
        return self._converted(array, self._depth)

    def rows(self, array):
        """One value for each row of a batch."""
        if self._is_scalar:
            array = array.reshape(-1)
        return self._converted(array, self._depth + 1)

    def option(self, array):
        """The one value of an argument that holds for the whole call."""
        values = self.rows(array)
        if any(value != values[0] for value in values):
            raise BadInput(
                f"input {self.name!r} is one value for the whole call, but the rows of the request "
                f"differ: {values[0]!r} and others"
            )
        return values[0]

    def _converted(self, array, depth):
        """Lists, nested ``depth`` times, of what stands innermost."""
        if self._is_array:
            if self.is_text:
                array = _decoded(self.name, array)
            return _split(array, depth)
        values = array.tolist()
        if self._leaf is None:
            return values
        try:
            return _mapped(self._leaf, values, depth)
        except BadInput as error:
            raise BadInput(f"input {self.name!r}: {error}") from error.__cause__


def _split(array, depth):
    if depth == 0:
        return array
    return list(array) if depth == 1 else [_split(part, depth - 1) for part in array]


def _mapped(function, values, depth):
    if depth == 1:
        return [function(value) for value in values]
    return [_mapped(function, value, depth - 1) for value in values]


def _text(data):
    if isinstance(data, str):
        return data
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"is not UTF-8: {error}") from error


def _image(data):
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(data))
        image.load()  # now, so that a broken file is told as such
    except Exception as error:
        raise BadInput(f"is no image that Pillow can read: {error}") from error
    return image


def _decoded(name, array):
    """An array of str; Triton carries strings as bytes."""
    decoded = np.empty(array.size, dtype=object)
    try:
        decoded[:] = [_text(item) for item in array.reshape(-1).tolist()]
    except BadInput as error:
        raise BadInput(f"input {name!r}: {error}") from error.__cause__
    return decoded.reshape(array.shape)


_LEAVES = {"str": _text, "image": _image}
"""What is done with one value; others are what numpy's ``tolist`` gives."""
