"""A method's arguments and the declared inputs go in; its inputs and what it takes come out.

A method takes a batch where every argument that must be given holds one: a list, or an array whose
first axis is named ``batch``. Any other takes one item, and a list is then one item's.

Of an input, ``optional``: it may be left out; ``nullable``: the method is then given None, since it
has no default of its own; ``option``: an argument of a method that takes batches which is one value
for the whole call.
"""

import inspect

from nos_python_model.annotations import (
    ACCEPTED,
    BATCH,
    Meaning,
    Unsupported,
    declaration,
    meaning,
    overridden,
    spelled,
)


def described_inputs(parameters, hints, declared, streams):
    """The inputs of a method, and ``item`` or ``batch``.

    Args:
        parameters: argument -> inspect.Parameter, without ``self``.
        hints: argument -> annotation.
        declared: argument -> ``float32[batch, 3]``, which overrides the annotation.
        streams: the method yields its answer; it then takes one item.

    Raises:
        Unsupported: with what was found and the remedy.
    """
    found = {}
    for name, parameter in parameters.items():
        if parameter.kind is not parameter.VAR_KEYWORD:
            try:
                found[name] = _meaning(parameter, hints.get(name, parameter.empty), declared)
            except Unsupported as error:
                says, remedy = error.args
                raise Unsupported(f"argument {name!r}: {says}", remedy) from error
    if not found:
        raise Unsupported("takes no argument", "a Triton model needs an input")
    required = {
        name
        for name, said in found.items()
        if parameters[name].default is inspect.Parameter.empty and not said.nullable
    }
    deciding = required or set(found)
    is_batch = not streams and all(_holds_batch(found[name]) for name in deciding)
    inputs = [
        _input(said, parameters[name], name in required, is_batch, streams)
        for name, said in found.items()
    ]
    return inputs, "batch" if is_batch else "item"


def _input(said, parameter, is_required, is_batch, streams):
    name, default = parameter.name, parameter.default
    option = is_batch and not _holds_batch(said)
    if not is_batch and BATCH in said.shape:
        one = "streams its answers" if streams else "takes one item"
        raise Unsupported(
            f"{one}, but argument {name!r} has an axis {BATCH!r}",
            f"leave {BATCH!r} out of it: the method is called for each request's item",
        )
    if option and said.depth + len(said.shape) > 0:
        raise Unsupported(
            f"takes whole batches, but argument {name!r} ({said.kind}) is one item",
            f"let it have a first axis named {BATCH!r} too, or let the method take one item",
        )
    shape = said.shape[1:] if is_batch and not option else said.shape
    return {
        "name": name,
        "dtype": said.dtype,
        "shape": [f"{name}_axis{axis}" if dim is None else dim for axis, dim in enumerate(shape)],
        "kind": said.kind,
        "optional": not is_required,
        "nullable": said.nullable and default is inspect.Parameter.empty,
        "default": default if isinstance(default, (str, int, float, bool)) else None,
        "option": option,
    }


def _meaning(parameter, annotation, declared):
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
        raise Unsupported("takes its value by position", "let it be a named argument")
    written = declared.get(parameter.name)
    if annotation is parameter.empty:
        if written is None:
            raise Unsupported(
                "has no type annotation",
                f"annotate it with one of {ACCEPTED}; or declare it under inputs",
            )
        dtype, shape = declaration(written)
        kinds = {"s": "str", "b": "bool", "f": "float"}
        return Meaning("array" if shape else kinds.get(dtype[0], "int"), dtype, shape)
    said = meaning(annotation)
    if written is not None:
        said = overridden(said, *declaration(written))
    if said.dtype is None or said.shape is None:
        raise Unsupported(
            f"{spelled(annotation)} does not tell its {'dtype' if said.dtype is None else 'shape'}",
            'write Annotated[np.ndarray, "float32[batch, 3]"], or declare it under inputs',
        )
    return said


def _holds_batch(said):
    """Whether that argument holds a whole batch: a list, or an array whose first axis says so."""
    if said.shape[:1] == [BATCH]:
        return True
    return said.depth > 0 and said.shape[0] is None
