"""Methods that take whole arrays as they are and return one: the short way for them.

Between Triton and such a method nothing has to be made but the batch. What fits no shorter way goes
through signature.py, which does the same for every method.
"""

import numpy as np


def is_plain(binding):
    """Whether the method of that binding can go the short way."""
    (output, *others) = binding["outputs"]
    return (
        binding["takes"] == "batch"
        and binding["form"] == "value"
        and not (others or binding["records"] or binding["is_async"] or binding["pad"])
        and all(map(_is_array, [*binding["inputs"], output]))
        and not any(entry["optional"] for entry in binding["inputs"])
    )


def _is_array(entry):
    return entry["kind"] == "array" and entry["dtype"] != "string" and entry["shape"] != []


class PlainMethod:
    """Such a method.

    Args:
        method: the user's.
        inputs: names of its inputs.
        output: its Output.
    """

    def __init__(self, method, inputs, output):
        self._method = method
        self._inputs = inputs
        self._first = inputs[0]
        self._output = output

    def alone(self, request):
        """The answer to one request."""
        output = self._output
        returned = self._method(**request)
        return {output.name: output.rows_of(returned, len(request[self._first]))}

    def together(self, requests):
        """Each request's answer from one call; for requests of equal shapes."""
        batch = {name: np.concatenate([r[name] for r in requests]) for name in self._inputs}
        output, first = self._output, self._first
        array = output.rows_of(self._method(**batch), len(batch[first]))
        answers, start = [], 0
        for request in requests:
            end = start + len(request[first])
            answers.append({output.name: array[start:end]})
            start = end
        return answers
