"""What a user's class calls other models through: ``self.models.ocr_detect(image=page)``.

Enters: arrays, or what numpy makes arrays of, by input. Leaves: arrays by output, whole tensors as
Triton has them (the batch axis included, strings as bytes). The class imports nothing of this, so
any object with such attributes does in a test.
"""

import numpy as np


class ModelCallError(RuntimeError):
    """A model that was called failed; the message names it."""


class Models:
    """The models that a class may call, as attributes and, for any name, by ``models["name"]``.

    Args:
        members: model -> ``{"inputs": {input: {"dtype", "shape"}}, "decoupled": bool, "legs":
            bool}``, each of which may be left out; shapes as Triton takes them; ``legs``: it
            streams, and through this adapter.
        transport: has ``call(name, inputs)``, ``async call_async(name, inputs)`` and
            ``stream(name, inputs, in_legs)``, of arrays; they raise ``ModelCallError``.
    """

    def __init__(self, members, transport):
        self._members = {name: Member(name, facts, self) for name, facts in members.items()}
        self._transport = transport
        self._is_open = False

    def open(self):
        """From now on models may be called: the object that holds this is made."""
        self._is_open = True

    def transport(self, name):
        if not self._is_open:
            raise ModelCallError(
                f"model {name!r} cannot be called from __init__: others may not be loaded yet; "
                "call it from a method"
            )
        return self._transport

    def __getattr__(self, name):
        try:
            return self.__dict__["_members"][name]
        except KeyError:
            raise AttributeError(self._unknown(name)) from None

    def __getitem__(self, name):
        try:
            return self._members[name]
        except KeyError:
            raise KeyError(self._unknown(name)) from None

    def _unknown(self, name):
        has = ", ".join(self.__dict__.get("_members", ())) or "none"
        return f"no model {name!r} under models in the model.yaml (there: {has})"


class Member:
    """One model: ``member(image=crop)``, ``await member.aio(...)``, ``member.stream(...)``."""

    def __init__(self, name, facts, models):
        self.name = name
        self._models = models
        self._inputs = facts.get("inputs", {})
        self._is_decoupled = facts.get("decoupled", False)
        self._in_legs = facts.get("legs", False)

    def __call__(self, **inputs):
        """Output -> array.

        Raises:
            ModelCallError: the model's own error, or inputs that are no arrays.
        """
        return self._transport(False).call(self.name, self._arrays(inputs))

    async def aio(self, **inputs):
        """The same, for an async method: others run while the model works."""
        return await self._transport(False).call_async(self.name, self._arrays(inputs))

    def stream(self, **inputs):
        """One dict of output -> array after the other, as the model makes them.

        For ``for`` and ``async for``; leaving the loop, or ``close()``, ends the stream.
        """
        transport = self._transport(True)
        return transport.stream(self.name, self._arrays(inputs), self._in_legs)

    def _transport(self, streams):
        if self._is_decoupled and not streams:
            raise ModelCallError(
                f"model {self.name!r} answers in chunks: iterate over .stream(...) of it"
            )
        return self._models.transport(self.name)

    def _arrays(self, inputs):
        unknown = [name for name in inputs if self._inputs and name not in self._inputs]
        if unknown:
            raise ModelCallError(
                f"model {self.name!r} has no input {unknown[0]!r}; its inputs: "
                + ", ".join(self._inputs)
            )
        return {name: self._array(name, value) for name, value in inputs.items()}

    def _array(self, name, value):
        facts = self._inputs.get(name, {})
        if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind not in "US":
            return _column(value, facts)
        dtype = facts.get("dtype")
        try:
            if isinstance(value, (np.ndarray, np.generic)):
                array = np.asarray(value)
            elif dtype and dtype != "string":
                array = np.asarray(value).astype(dtype, casting="same_kind")
            else:
                array = _plain(value)
        except (TypeError, ValueError) as error:
            raise ModelCallError(
                f"model {self.name!r}, input {name!r}: {value!r:.80} is no array: {error}"
            ) from error
        if array.dtype.kind in "US":
            array = array.astype(object)
        if array.ndim == 0:  # one number or word for a tensor of one element
            array = array.reshape((1,) * len(facts.get("shape", [1])))
        return _column(array, facts)


def _column(array, facts):
    """Values for as many items of one element each: ``[n]`` becomes ``[n, 1]``."""
    shape = facts.get("shape", ())
    is_column = array.ndim == 1 and len(shape) == 2 and shape[1] == 1
    return array.reshape(-1, 1) if is_column else array


def _plain(value):
    """Numbers as numpy takes them; text as objects, since numpy's own cut zero bytes off."""
    array = np.asarray(value)
    return array if array.dtype.kind not in "US" else np.asarray(value, dtype=object)
