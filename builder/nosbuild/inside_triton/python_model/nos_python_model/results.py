"""What the user's method returned goes in; tensors as Triton takes them come out."""

import io
from collections.abc import Iterable, Mapping

import numpy as np
from nos_python_model.filling import stacked


class Output:
    """One output, and how its values become an array."""

    def __init__(self, entry, form, dims, filler=None):
        """Keep what is said of it.

        Args:
            entry: of the binding.
            form: of what the method returns.
            dims: the item shape in config.pbtxt; [1] where it has no axes and none may.
            filler: what rows of unequal size are filled up with; None where they may not be.
        """
        self.name = entry["name"]
        self.field = entry["field"]
        self._form = form
        self._shape = list(dims)
        self._fixed = [(axis + 1, size) for axis, size in enumerate(dims) if _is_size(size)]
        self._ndim = len(dims) + 1
        self._is_scalar = entry["shape"] == []
        self.filler = None if self._is_scalar else filler
        self._is_text = entry["dtype"] == "string"
        self.dtype = np.dtype(object if self._is_text else entry["dtype"])
        self._spelled = entry["dtype"]
        self._is_image = entry["kind"].rpartition("[")[2].rstrip("]") == "image"
        # A value of that class needs no look, unless it is an integer out of range.
        classes = {"string": str, "float64": float, "float32": float, "int64": int, "bool": bool}
        self._class = None if self._is_image else classes.get(entry["dtype"])
        # Where a shape alone tells that an array is right.
        is_exact = len(self._fixed) == len(dims) and not self._is_text
        self._exact = tuple(dims) if is_exact else None

    def part(self, answer):
        """This output's part of an answer."""
        if self._form == "value":
            return answer
        if self._form == "tuple":
            return answer[self.field]
        if isinstance(answer, Mapping):
            try:
                return answer[self.field]
            except KeyError:
                has = ", ".join(map(repr, answer)) or "none"
                message = f"the method returned no {self.field!r}; the keys that it returned: {has}"
                raise ValueError(message) from None
        if self._form == "any" and isinstance(answer, tuple) and not hasattr(answer, "_fields"):
            raise TypeError("the method returned a tuple; its outputs are found by name: a dict")
        return getattr(answer, self.field)

    def column(self, answer):
        """This output's part of an answer for a whole batch: an array or a list of rows."""
        values = self.part(answer)
        if isinstance(values, (np.ndarray, list, tuple)):
            return values
        if hasattr(values, "__array__"):
            return np.asarray(values)
        if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
            raise TypeError(
                f"output {self.name!r}: the method takes a batch and returned "
                f"{type(values).__name__}; return a list with one value a row, or an array"
            )
        return list(values)

    def items(self, values):
        """The array for one value a row; raises as ``batch``."""
        if self._is_scalar and self._class is not None:
            for value in values:
                if value.__class__ is not self._class:
                    return self.batch(values, len(values))
            try:
                array = np.array(values, dtype=self.dtype)
            except OverflowError:
                return self.batch(values, len(values))  # raises what is to be told
            return array.reshape(-1, *self._shape) if self._shape else array
        return self.batch(values, len(values))

    def rows_of(self, returned, rows):
        """The array for that many rows, for what a method returned that takes batches."""
        if (
            returned.__class__ is np.ndarray
            and self._exact is not None
            and returned.dtype == self.dtype
            and returned.shape == (rows, *self._exact)
        ):
            return returned
        return self.batch(self.column(returned), rows)

    def batch(self, values, rows):
        """The array for that many rows.

        Args:
            values: an array whose first axis is the batch, or a sequence with one value a row.
            rows: how many there must be.

        Raises:
            ValueError: not as many, or a shape that is not the declared one.
            TypeError: values that are not of the declared dtype.
        """
        array = values
        if not (isinstance(array, np.ndarray) and array.dtype == self.dtype):
            array = self._array(values) if self.filler is None else self._filled(values)
        if self._is_text:
            self._check_texts(array)
        if self._is_scalar and 0 < array.ndim <= self._ndim:
            array = array.reshape(-1, *self._shape)
        if array.ndim != self._ndim or array.shape[0] != rows:
            raise ValueError(self._misfit(array, rows))
        for axis, size in self._fixed:
            if array.shape[axis] != size:
                raise ValueError(self._misfit(array, rows))
        return array

    def _misfit(self, array, rows):
        if array.ndim and array.shape[0] != rows and array.ndim == self._ndim:
            return f"output {self.name!r} has {array.shape[0]} rows for a batch of {rows}"
        declared = ", ".join(map(str, self._shape))
        return (
            f"output {self.name!r} has shape {list(array.shape[1:])} an item, "
            f"declared is [{declared}]"
        )

    def _array(self, values):
        if self._is_text:
            return self._strings(values)
        if not isinstance(values, np.ndarray):
            values = [np.asarray(value) for value in values] if _holds_arrays(values) else values
            try:
                values = np.asarray(values)
            except ValueError as error:  # ragged
                raise ValueError(
                    f"output {self.name!r}: the items of one request differ in shape, which no "
                    f"tensor can hold: {_remedy(self.name)} ({error})"
                ) from None
        return self._cast(values)

    def _filled(self, values):
        """As ``_array``, for rows whose sizes may differ in the axes that vary."""
        if isinstance(values, np.ndarray) and values.dtype != object:
            return self._array(values)
        values = list(values)
        try:
            rows = [self._row(value) for value in values]
        except ValueError:  # a row that is no array in itself
            return self._array(values)
        shapes = {row.shape for row in rows}
        if len(shapes) < 2 or not all(map(self._fits, shapes)):
            return self._array(values)  # one size; or an error, which is told there or by batch()
        return stacked(rows, self.filler)

    def _row(self, value):
        if self._is_text:
            return self._strings([value])[0, ...]
        return self._cast(np.asarray(value))

    def _fits(self, shape):
        return len(shape) + 1 == self._ndim and all(
            shape[axis - 1] == size for axis, size in self._fixed
        )

    def _cast(self, array):
        if not array.size:
            return array.astype(self.dtype)
        if array.dtype.kind not in "biuf" or not np.can_cast(array.dtype, self.dtype, "same_kind"):
            raise TypeError(
                f"output {self.name!r} is declared {self._spelled}, the method returned "
                f"{_described(array)}"
            )
        cast = array.astype(self.dtype)
        if self.dtype.kind in "iu" and (cast != array).any():
            lost = array[cast != array].flat[0]
            raise ValueError(f"output {self.name!r}: {lost} does not fit {self._spelled}")
        return cast

    def _strings(self, values):
        """An object array, of str and bytes if all is well."""
        if isinstance(values, np.ndarray):
            return values.astype(object)
        if self._is_image:
            values = _files(values)
        if not self._is_scalar:
            values = [_listed(value) for value in values]
        return np.array(values, dtype=object)

    def _check_texts(self, array):
        for value in array.reshape(-1).tolist():
            if not isinstance(value, (str, bytes)):
                if isinstance(value, (list, tuple)) and not self._is_scalar:
                    raise ValueError(
                        f"output {self.name!r}: the items of one request differ in length, which "
                        f"no tensor can hold: {_remedy(self.name)}"
                    )
                raise TypeError(
                    f"output {self.name!r} is declared {self._spelled}, the method returned "
                    f"{type(value).__name__} {value!r:.80}"
                )


def _remedy(name):
    return f"send them one by one, or name {name} under pad: in the model.yaml"


def _is_size(dim):
    return isinstance(dim, int) and dim >= 0


def _holds_arrays(values):
    first = next(iter(values), None)
    return not isinstance(first, (int, float, list, tuple))


def _listed(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, (list, tuple)) else value


def _files(values):
    """Images as the bytes of PNG files, which lose nothing."""
    return [_files(value) if isinstance(value, (list, tuple)) else _png(value) for value in values]


def _png(image):
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _described(array):
    item = array.reshape(-1).tolist()[0]
    if isinstance(item, np.ndarray):
        return _described(item)
    return (
        f"{array.dtype}" if array.dtype.kind in "biufc" else f"{type(item).__name__} {item!r:.80}"
    )
