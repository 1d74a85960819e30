"""Requests that arrive together go in; one call's arguments and each one's own answer come out.

Only for methods that take batches. Lists grow together whatever their items; arrays are joined
where they have equal shapes, or where the spec tells a value to pad them with.
"""

from itertools import accumulate

import numpy as np


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
    if argument.is_option:
        return tuple(dict.fromkeys(array.reshape(-1).tolist()))
    if not argument.is_joined_array:
        return True
    return array.ndim if argument.name in pad else array.shape[1:]


class Joined:
    """Requests of one group as one call.

    ``arguments`` are the method's, ``rows`` the size of the whole batch.
    """

    def __init__(self, requests, arguments, binding):
        sizes = [_size(request, arguments) for request in requests]
        ends = list(accumulate(sizes))
        self.rows = ends[-1]
        self._slices = [slice(end - size, end) for end, size in zip(ends, sizes)]  # noqa: B905
        self._own = [{} for _ in requests]  # axis -> size, for each request whose arrays grew
        self.arguments = {}
        shapes = {entry["name"]: entry["shape"] for entry in binding["inputs"]}
        for argument in arguments:
            arrays = [request.get(argument.name) for request in requests]
            if arrays[0] is None:
                if argument.nullable:
                    self.arguments[argument.name] = None
            elif argument.is_option:
                self.arguments[argument.name] = argument.option(arrays[0])
            elif argument.is_joined_array:
                if len(arrays) == 1:
                    array = arrays[0]
                elif argument.name in binding["pad"]:
                    self._note_sizes(arrays, shapes[argument.name])
                    array = self._padded(arrays, binding["pad"][argument.name])
                else:
                    array = np.concatenate(arrays)
                self.arguments[argument.name] = argument.whole(array)
            else:
                values = [value for array in arrays for value in argument.whole(array)]
                self.arguments[argument.name] = values

    def split(self, answer, entries):
        """Each request's own answer: its rows, and what was not padding of the named axes."""
        named = {entry["name"]: entry["shape"] for entry in entries}
        return [
            {name: self._part(array, rows, own, named[name]) for name, array in answer.items()}
            for rows, own in zip(self._slices, self._own)  # noqa: B905 - one each
        ]

    def _part(self, array, rows, own, shape):
        if not any(dim in own for dim in shape):
            return array[rows]
        cut = [slice(own.get(dim)) for dim in shape]
        return array[(rows, *cut)]

    def _note_sizes(self, arrays, shape):
        for own, array in zip(self._own, arrays):  # noqa: B905 - one each
            for axis, dim in enumerate(shape, start=1):
                if isinstance(dim, str):
                    own[dim] = array.shape[axis]

    def _padded(self, arrays, value):
        longest = np.max([array.shape[1:] for array in arrays], axis=0).astype(int).tolist()
        if isinstance(value, str):
            value = value.encode()
        whole = np.full((self.rows, *longest), value, dtype=arrays[0].dtype)
        for rows, array in zip(self._slices, arrays):  # noqa: B905 - one each
            whole[(rows, *[slice(size) for size in array.shape[1:]])] = array
        return whole


def _size(request, arguments):
    for argument in arguments:
        if not argument.is_option and argument.name in request:
            return request[argument.name].shape[0]
    raise ValueError("a request without any input")
