"""Arrays of unequal sizes and a value go in; arrays of one size come out, filled up at the end."""

import numpy as np


def longest(shapes):
    """The smallest shape that holds all of these, which have as many axes."""
    return tuple(map(max, zip(*shapes)))  # noqa: B905 - as many


def grown(array, shape, value):
    """The array at the beginning of one of that shape; the rest is the value."""
    whole = np.full(shape, value, dtype=array.dtype)
    whole[tuple(map(slice, array.shape))] = array
    return whole


def stacked(rows, value):
    """Arrays of as many axes, and of one dtype, as one array."""
    shape = longest([row.shape for row in rows])
    whole = np.full((len(rows), *shape), value, dtype=rows[0].dtype)
    for position, row in enumerate(rows):
        whole[(position, *map(slice, row.shape))] = row
    return whole


def evened(answers, pad):
    """The answers to several requests, the arrays of each output in ``pad`` being of one size.

    Args:
        answers: output -> array with the batch axis; what is no dict (a failure) stays as it is.
        pad: output -> the value.
    """
    given = [answer for answer in answers if isinstance(answer, dict)]
    for name, value in pad.items():
        shapes = [answer[name].shape[1:] for answer in given]
        if len(set(shapes)) > 1:
            shape = longest(shapes)
            for answer in given:
                array = answer[name]
                if array.shape[1:] != shape:
                    answer[name] = grown(array, (len(array), *shape), value)
    return answers
