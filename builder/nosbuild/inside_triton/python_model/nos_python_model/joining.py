"""Requests that arrive together go in; one call's arguments and each one's own answer come out.

Only for methods that take batches. Lists grow together whatever their items; arrays are joined
where they have equal shapes, or where the spec tells a value to pad them with.
"""

import numpy as np
from nos_python_model.filling import longest


def groups(requests, arguments, pad):
    """Positions of the requests that may share a call, in order of arrival."""
    found = {}
    for position, request in enumerate(requests):
        key = tuple([_key(request.get(a.name), a, pad) for a in arguments])
        found.setdefault(key, []).append(position)
    return list(found.values())


def _key(array, argument, pad):
    """What two requests must have in common in that input."""
    if array is None:
        return None
    if argument.is_array:
        return array.ndim if argument.name in pad else array.shape[1:]
    if argument.is_option:
        return tuple(dict.fromkeys(array.reshape(-1).tolist()))
    return True


class Joined:
    """Requests of one group as one call.

    ``arguments`` are the method's, ``rows`` the size of the whole batch.
    """

    def __init__(self, requests, arguments, pad):
        self._rows = _rows(requests, arguments)
        self.rows = self._rows[-1].stop
        self._own = None  # for each request axis -> size, where arrays grew
        self.arguments = {}
        for argument in arguments:
            name = argument.name
            if name not in requests[0]:
                if argument.nullable:
                    self.arguments[name] = None
                continue
            arrays = [request[name] for request in requests]
            if argument.is_array:
                array = self._padded(arrays, argument, pad[name]) if name in pad else None
                array = np.concatenate(arrays) if array is None else array
                self.arguments[name] = array if argument.is_plain else argument.whole(array)
            elif argument.is_option:
                self.arguments[name] = argument.option(arrays[0])
            else:
                self.arguments[name] = [row for array in arrays for row in argument.whole(array)]

    def split(self, answer, shapes):
        """Each request's own answer: its rows, and what was not padding of the named axes.

        Args:
            answer: output -> array of the whole batch.
            shapes: output -> shape of an item, of sizes and names.
        """
        if self._own is None:
            return [{name: array[rows] for name, array in answer.items()} for rows in self._rows]
        return [
            {
                name: array[(rows, *[slice(own.get(dim)) for dim in shapes[name]])]
                for name, array in answer.items()
            }
            for rows, own in zip(self._rows, self._own)  # noqa: B905 - one each
        ]

    def _padded(self, arrays, argument, value):
        """The arrays in one that is as long as the longest; None where they are equally long."""
        shapes = [array.shape[1:] for array in arrays]
        if all(shape == shapes[0] for shape in shapes):
            return None
        self._own = self._own or [{} for _ in arrays]
        for own, shape in zip(self._own, shapes):  # noqa: B905 - one each
            own.update(
                (dim, size)
                for dim, size in zip(argument.shape, shape)  # noqa: B905 - as many
                if isinstance(dim, str)
            )
        if isinstance(value, str):
            value = value.encode()
        whole = np.full((self.rows, *longest(shapes)), value, dtype=arrays[0].dtype)
        for rows, array in zip(self._rows, arrays):  # noqa: B905 - one each
            whole[(rows, *[slice(size) for size in array.shape[1:]])] = array
        return whole


def _rows(requests, arguments):
    """Where in the batch each request's rows are."""
    first = requests[0]
    name = next(a.name for a in arguments if not a.is_option and a.name in first)
    slices, start = [], 0
    for request in requests:
        end = start + len(request[name])
        slices.append(slice(start, end))
        start = end
    return slices
