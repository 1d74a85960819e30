"""A binding goes in; how requests become arguments, and what the method returns becomes answers."""

from nos_python_model.arguments import Argument, BadInput
from nos_python_model.filling import evened
from nos_python_model.joining import Joined, groups
from nos_python_model.plain import PlainMethod
from nos_python_model.results import Output


class Signature:
    """The method of a binding, between tensors and Python.

    Args:
        binding: see binding.py.
        dims: output -> item shape as Triton takes it, where it is not the described one.
    """

    def __init__(self, binding, dims):
        self._arguments = [Argument(entry, binding["takes"]) for entry in binding["inputs"]]
        self._outputs = [
            Output(
                entry,
                binding["form"],
                dims.get(entry["name"], entry["shape"]),
                binding["pad"].get(entry["name"]),
            )
            for entry in binding["outputs"]
        ]
        self._shapes = {entry["name"]: entry["shape"] for entry in binding["outputs"]}
        self._pad = binding["pad"]
        required = [
            argument
            for argument, entry in zip(self._arguments, binding["inputs"])  # noqa: B905
            if not entry["optional"]
        ]
        self._needed = len(required)
        self._only = required[0] if len(required) == len(self._arguments) == 1 else None
        # Their shapes alone decide, where a request has nothing but what it must have.
        self._deciding = [a.name for a in required if a.is_array and a.name not in self._pad]
        # Of a method of one item, answers that leave together are of one size.
        self._evens = {
            output.name: output.filler
            for output in self._outputs
            if output.filler is not None and binding["takes"] == "item" and binding["batched"]
        }
        self._is_value = binding["form"] == "value"
        self._records = binding["records"]

    def plain(self, method):
        """The method, for one that is_plain (see plain.py)."""
        return PlainMethod(method, [argument.name for argument in self._arguments], *self._outputs)

    def items(self, request):
        """The arguments for each row of a request.

        Raises:
            BadInput: the model cannot take it.
        """
        if self._only is not None:
            name = self._only.name
            return [{name: value} for value in self._only.rows(request[name])]
        columns, same = {}, {}
        for argument in self._arguments:
            array = request.get(argument.name)
            if array is not None:
                columns[argument.name] = argument.rows(array)
            elif argument.nullable:
                same[argument.name] = None
        rows = zip(*columns.values())  # noqa: B905 - Triton checked
        return [{**same, **dict(zip(columns, row))} for row in rows]  # noqa: B905

    def batch(self, request):
        """The arguments for a whole request, and how many rows it has.

        Raises:
            BadInput: the model cannot take it.
        """
        arguments, rows = {}, None
        for argument in self._arguments:
            array = request.get(argument.name)
            if array is None:
                if argument.nullable:
                    arguments[argument.name] = None
            elif argument.is_option:
                arguments[argument.name] = argument.option(array)
            else:
                arguments[argument.name] = array if argument.is_plain else argument.whole(array)
                rows = len(array)
        if rows is None:
            raise BadInput("the request has no input that holds a batch")
        return arguments, rows

    def are_alike(self, requests):
        """True where all may share a call; found quickly, as nearly always. False: see groups."""
        needed = self._needed
        for request in requests:
            if len(request) != needed:
                return False
        for name in self._deciding:
            shape = requests[0][name].shape[1:]
            for request in requests:
                if request[name].shape[1:] != shape:
                    return False
        return True

    def groups(self, requests):
        """Positions of the requests that may share a call, in order of arrival."""
        return groups(requests, self._arguments, self._pad)

    def joined(self, requests):
        """Those requests as one call."""
        return Joined(requests, self._arguments, self._pad)

    def split(self, joined, answer):
        """Each request's own answer, for what the method returned for all."""
        return joined.split(self.batch_answer(answer, joined.rows), self._shapes)

    def evened(self, answers):
        """The answers to requests that arrived together, filled up where the spec tells a value."""
        return evened(answers, self._evens) if self._evens else answers

    def items_answer(self, returned):
        """Output -> array, for what the method returned for each row."""
        if self._is_value:
            output = self._outputs[0]
            return {output.name: output.items(returned)}
        return {
            output.name: output.items([output.part(one) for one in returned])
            for output in self._outputs
        }

    def batch_answer(self, returned, rows):
        """Output -> array, for what the method returned for a batch."""
        if not self._records:
            return {output.name: output.rows_of(returned, rows) for output in self._outputs}
        returned = list(returned)
        if len(returned) != rows:
            raise ValueError(f"the method returned {len(returned)} rows for a batch of {rows}")
        return self.items_answer(returned)
