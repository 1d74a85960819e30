"""The user's class and its binding go in; an object that answers requests comes out.

This is all that happens between Triton and the user's method, and it does not know Triton: the
proof of a build runs the very same code. A request is a dict of input -> array, its answer a dict
of output -> array, or a ``Failure``.
"""

import asyncio

from nos_python_model.arguments import Argument
from nos_python_model.failures import Failure
from nos_python_model.joining import Joined, groups
from nos_python_model.loading import load_class
from nos_python_model.problems import shown
from nos_python_model.results import Output


class Adapter:
    """One object of the user's class, and one of its methods as a model.

    Args:
        folder: the version folder; the user's files are in its ``source/``.
        binding: see binding.py.
        device: ``cpu`` or ``cuda:0``.
        models: calls other models, for a class that asks for it.
        dims: output -> item shape in config.pbtxt, where it is not the described one: [1] for an
            output without axes.
        warn: told of a call that failed for requests together and is repeated for each.

    Raises:
        Problem: the class cannot be imported.
        Exception: what the class's own ``__init__`` raises.
    """

    def __init__(self, folder, binding, *, device="cpu", models=None, dims=None, warn=print):
        self.binding = binding
        self._warn = warn
        self._loop = None
        cls = load_class(folder / "source", binding["reference"])
        given = {"device": device, "models": models}
        wanted = {name: value for name, value in given.items() if binding["given"][name]}
        self.instance = cls(**binding["init"], **wanted)
        name = binding["method"]
        self.method = self.instance if name == "__call__" else getattr(self.instance, name)
        self._arguments = [Argument(entry, binding["takes"]) for entry in binding["inputs"]]
        self._outputs = [
            Output(entry, binding["form"], (dims or {}).get(entry["name"], entry["shape"]))
            for entry in binding["outputs"]
        ]
        self._count = len(self._arguments)
        self._batched = binding["batched"]
        self._by_item = binding["takes"] == "item"
        self._is_async = binding["is_async"]
        self._is_plain = (
            all(argument.is_plain for argument in self._arguments)
            and binding["form"] == "value"
            and not self._is_async
        )

    def run(self, requests):
        """One answer for each request, in the same order; never raises."""
        if self._is_plain and len(requests) == 1 and len(requests[0]) == self._count:
            try:
                return [self._plain(requests[0])]
            except BaseException as error:  # noqa: BLE001 - sys.exit() too is only an answer
                return [Failure(error)]
        return self._finished(self._answers(requests))

    def item_arguments(self, request):
        """The arguments for a request that is one item, without a batch axis.

        Raises:
            BadInput: the model cannot take it.
        """
        return self._items({name: array[None] for name, array in request.items()})[0]

    def item_outputs(self, answer):
        """Output -> array of one item, without a batch axis, for what the method returned."""
        return {name: array[0, ...] for name, array in self._packed([answer]).items()}

    def chunks(self, request):
        """Every chunk that a method which streams yields for a request that is one item, as a list.

        Raises what the method raises.
        """
        answer = self.method(**self.item_arguments(request))
        if self._is_async:
            return self.complete(self._collected(answer))
        return [self.item_outputs(chunk) for chunk in answer]

    def direct(self, item):
        """The user's method on one item, called plainly: the reference of a proof.

        Args:
            item: input -> array of an item; of the whole batch where the method takes one and the
                model has no batch axis.

        Returns:
            Output -> array likewise, a list of such dicts for a method that streams; raises what
            the method raises.
        """
        if self.binding["streams"]:
            return self.chunks(item)
        if self._by_item:
            return self.item_outputs(self._finished(self._called(self.item_arguments(item))))
        if not self._batched:
            return self._finished(self._answer_batch(item))
        rows = {name: array[None] for name, array in item.items()}
        answer = self._finished(self._answer_batch(rows))
        return {name: array[0, ...] for name, array in answer.items()}

    def complete(self, coroutine):
        """Run a coroutine on this object's event loop, in the calling thread."""
        return self.event_loop().run_until_complete(coroutine)

    def event_loop(self):
        """The loop that all coroutines of this object run on."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop

    def close(self):
        """Call the object's ``close()``, if it has one; raises what that raises."""
        try:
            if self.binding["close"]:
                closing = self.instance.close()
                if asyncio.iscoroutine(closing):
                    self.complete(closing)
        finally:
            if self._loop is not None:
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())
                self._loop.close()
                self._loop = None

    # A method is awaited only where the user's is async: otherwise the coroutines below never
    # wait, and run to their end in one step.

    def _finished(self, coroutine):
        if self._is_async:
            return self.complete(coroutine)
        try:
            coroutine.send(None)
        except StopIteration as end:
            return end.value
        raise RuntimeError("a plain method waited for something")

    async def _collected(self, answer):
        chunks = await answer if asyncio.iscoroutine(answer) else answer
        return [self.item_outputs(chunk) async for chunk in chunks]

    async def _answers(self, requests):
        answers = [None] * len(requests)
        if self._by_item or not self._batched:
            together = [[position] for position in range(len(requests))]
        else:
            together = groups(requests, self._arguments, self.binding["pad"])
        works = [self._fill(answers, requests, positions) for positions in together]
        if self._is_async:
            await asyncio.gather(*works)
        else:
            for work in works:
                await work
        return answers

    async def _fill(self, answers, requests, positions):
        if len(positions) > 1:
            members = [requests[position] for position in positions]
            found = await self._answer_joined(members)
            if found is not None:
                for position, answer in zip(positions, found):  # noqa: B905 - one each
                    answers[position] = answer
                return
        for position in positions:
            answers[position] = await self._answer(requests[position])

    async def _answer(self, request):
        try:
            return await (self._answer_items if self._by_item else self._answer_batch)(request)
        except BaseException as error:  # noqa: BLE001 - sys.exit() too is only an answer
            return Failure(error)

    async def _answer_joined(self, requests):
        """Each request's answer from one call; None where that failed."""
        try:
            together = Joined(requests, self._arguments, self.binding)
            answer = self._packed_batch(await self._called(together.arguments), together.rows)
            return together.split(answer, self.binding["outputs"])
        except BaseException as error:  # noqa: BLE001 - alone, each gets its own error or answer
            self._warn(f"{len(requests)} requests together: {shown(error)}; now one by one")
            return None

    async def _answer_batch(self, request):
        together = Joined([request], self._arguments, self.binding)
        return self._packed_batch(await self._called(together.arguments), together.rows)

    async def _answer_items(self, request):
        if not self._batched:
            return self.item_outputs(await self._called(self.item_arguments(request)))
        items = self._items(request)
        if len(items) == 1 or not self._is_async:
            return self._packed([await self._called(item) for item in items])
        found = await asyncio.gather(*map(self._called, items), return_exceptions=True)
        for result in found:
            if isinstance(result, BaseException):
                raise result
        return self._packed(found)

    async def _called(self, arguments):
        answer = self.method(**arguments)
        if not self._is_async:
            return answer
        try:
            return await answer
        except (SystemExit, KeyboardInterrupt) as error:  # these would end the event loop
            raise RuntimeError(shown(error)) from error

    def _plain(self, request):
        """A method that takes the tensors as they are, and returns one."""
        rows = len(next(iter(request.values())))
        output = self._outputs[0]
        return {output.name: output.batch(output.column(self.method(**request)), rows)}

    def _items(self, request):
        """The arguments for each row of a request."""
        columns = {
            argument.name: argument.rows(request[argument.name])
            for argument in self._arguments
            if argument.name in request
        }
        absent = {a.name: None for a in self._arguments if a.nullable and a.name not in request}
        names, rows = list(columns), zip(*columns.values())  # noqa: B905 - Triton checked
        return [{**absent, **dict(zip(names, row))} for row in rows]  # noqa: B905

    def _packed(self, answers):
        """Output -> array, for what the method returned for each row."""
        return {
            output.name: output.batch([output.part(answer) for answer in answers], len(answers))
            for output in self._outputs
        }

    def _packed_batch(self, answer, rows):
        """Output -> array, for what the method returned for a batch."""
        if self.binding["records"]:
            answers = list(answer)
            if len(answers) != rows:
                raise ValueError(f"the method returned {len(answers)} rows for a batch of {rows}")
            return self._packed(answers)
        return {output.name: output.batch(output.column(answer), rows) for output in self._outputs}
