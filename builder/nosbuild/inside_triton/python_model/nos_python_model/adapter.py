"""The user's class and its binding go in; an object that answers requests comes out.

This is all that happens between Triton and the user's method, and it does not know Triton: the
proof of a build runs the very same code. A request is a dict of input -> array, its answer a dict
of output -> array, or a ``Failure``.
"""

import asyncio

from nos_python_model.chunks import Collected
from nos_python_model.failures import Failure
from nos_python_model.loading import load_class
from nos_python_model.plain import is_plain
from nos_python_model.problems import shown
from nos_python_model.signature import Signature


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
        self._signature = Signature(binding, dims or {})
        self._batched = binding["batched"]
        self._by_item = binding["takes"] == "item"
        self._is_async = binding["is_async"]

        # How one request is answered, and how several that are alike are: both may raise.
        self._one = self._items_answer if self._by_item else self._batch_answer
        self._together = self._joined_answers
        if is_plain(binding):
            plain = self._signature.plain(self.method)
            self._one, self._together = plain.alone, plain.together

    def run(self, requests):
        """One answer for each request, in the same order; never raises."""
        if self._is_async:
            return self.complete(self._run_async(requests))
        if len(requests) == 1:
            try:
                return [self._one(requests[0])]
            except BaseException as error:  # noqa: BLE001 - sys.exit() too is only an answer
                return [Failure(error)]
        if self._by_item or not self._batched:
            return self._signature.evened([self._answer(request) for request in requests])
        if self._signature.are_alike(requests):
            return self._group_answers(requests)
        answers = [None] * len(requests)
        for positions in self._signature.groups(requests):
            found = self._group_answers([requests[position] for position in positions])
            for position, answer in zip(positions, found):  # noqa: B905 - one each
                answers[position] = answer
        return answers

    def item_arguments(self, request):
        """The arguments for a request that is one item, without a batch axis.

        Raises:
            BadInput: the model cannot take it.
        """
        with_axis = {name: array[None] for name, array in request.items()}
        return self._signature.items(with_axis)[0]

    def item_outputs(self, returned):
        """Output -> array of one item, without a batch axis, for what the method returned."""
        answer = self._signature.items_answer([returned])
        return {name: array[0, ...] for name, array in answer.items()}

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
            return self.item_outputs(self._called(self.item_arguments(item)))
        batch = {name: array[None] for name, array in item.items()} if self._batched else item
        arguments, rows = self._signature.batch(batch)
        answer = self._signature.batch_answer(self._called(arguments), rows)
        return {name: array[0, ...] for name, array in answer.items()} if self._batched else answer

    def chunks(self, request):
        """Every chunk that a method which streams yields for a request that is one item, as a list.

        Raises what the method raises, and EndlessStream.
        """
        answer = self.method(**self.item_arguments(request))
        if self._is_async:
            return self.complete(self._collected(answer))
        collected = Collected()
        for chunk in answer:
            collected.add(self.item_outputs(chunk))
        return collected.chunks

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

    def _called(self, arguments):
        answer = self.method(**arguments)
        return self.complete(answer) if self._is_async else answer

    # -- plain methods ----------------------------------------------------------------------

    def _answer(self, request):
        try:
            return self._one(request)
        except BaseException as error:  # noqa: BLE001 - sys.exit() too is only an answer
            return Failure(error)

    def _group_answers(self, requests):
        """Answers to requests that are alike; from one call, unless that fails."""
        if len(requests) > 1:
            try:
                return self._together(requests)
            except BaseException as error:  # noqa: BLE001 - alone, each gets its own
                self._not_together(requests, error)
        return [self._answer(request) for request in requests]

    def _not_together(self, requests, error):
        self._warn(f"{len(requests)} requests together: {shown(error)}; now one by one")

    def _batch_answer(self, request):
        arguments, rows = self._signature.batch(request)
        return self._signature.batch_answer(self.method(**arguments), rows)

    def _items_answer(self, request):
        if not self._batched:
            return self.item_outputs(self.method(**self.item_arguments(request)))
        method = self.method
        returned = [method(**item) for item in self._signature.items(request)]
        return self._signature.items_answer(returned)

    def _joined_answers(self, requests):
        joined = self._signature.joined(requests)
        return self._signature.split(joined, self.method(**joined.arguments))

    # -- async methods ----------------------------------------------------------------------

    async def _run_async(self, requests):
        answers = [None] * len(requests)
        if self._by_item or not self._batched or len(requests) == 1:
            groups = [[position] for position in range(len(requests))]
        else:
            groups = self._signature.groups(requests)
        fillings = [self._fill(answers, requests, positions) for positions in groups]
        await asyncio.gather(*fillings)
        return self._signature.evened(answers)

    async def _fill(self, answers, requests, positions):
        members = [requests[position] for position in positions]
        found = await self._joined_awaited(members) if len(members) > 1 else None
        found = found or await asyncio.gather(*map(self._awaited_answer, members))
        for position, answer in zip(positions, found):  # noqa: B905 - one each
            answers[position] = answer

    async def _awaited_answer(self, request):
        try:
            if self._by_item:
                return await self._items_awaited(request)
            arguments, rows = self._signature.batch(request)
            return self._signature.batch_answer(await self._awaited(arguments), rows)
        except BaseException as error:  # noqa: BLE001 - sys.exit() too is only an answer
            return Failure(error)

    async def _items_awaited(self, request):
        if not self._batched:
            return self.item_outputs(await self._awaited(self.item_arguments(request)))
        items = self._signature.items(request)
        if len(items) == 1:
            return self._signature.items_answer([await self._awaited(items[0])])
        returned = await asyncio.gather(*map(self._awaited, items), return_exceptions=True)
        for result in returned:  # all have ended: none goes on behind the answer
            if isinstance(result, BaseException):
                raise result
        return self._signature.items_answer(returned)

    async def _joined_awaited(self, requests):
        try:
            joined = self._signature.joined(requests)
            return self._signature.split(joined, await self._awaited(joined.arguments))
        except BaseException as error:  # noqa: BLE001 - alone, each gets its own error or answer
            self._not_together(requests, error)
            return None

    async def _awaited(self, arguments):
        try:
            return await self.method(**arguments)
        except (SystemExit, KeyboardInterrupt) as error:  # these would end the event loop
            raise RuntimeError(shown(error)) from error

    async def _collected(self, answer):
        chunks = await answer if asyncio.iscoroutine(answer) else answer
        collected = Collected()
        async for chunk in chunks:
            collected.add(self.item_outputs(chunk))
        return collected.chunks
