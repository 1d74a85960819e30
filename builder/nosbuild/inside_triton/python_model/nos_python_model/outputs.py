"""A return annotation and the declared outputs go in; the outputs and where they stand come out.

The ``form`` of a method says how the outputs stand in what it returns: ``value`` (the whole of
it), ``dict`` (by key), ``object`` (dataclass, by attribute), ``tuple`` (by position), ``any`` (not
annotated: whichever it turns out to be). ``records``: a method that takes batches returns a list
with one such answer a row; otherwise it returns one answer, each part of which holds all rows.
"""

import collections.abc
import dataclasses
import inspect
import typing

from nos_python_model.annotations import (
    BATCH,
    Meaning,
    Unsupported,
    declaration,
    meaning,
    overridden,
    spelled,
)

SINGLE = "output"
"""The output's name where neither the class nor the spec gives one."""


def described_outputs(returned, declared, takes):
    """The outputs of a method.

    Args:
        returned: the annotation, ``inspect.Parameter.empty`` where there is none; of one chunk for
            a method that streams.
        declared: output -> ``float32[batch, 3]``, or None.
        takes: ``item`` or ``batch``.

    Returns:
        ``{"outputs": [...], "form": ..., "records": bool}``.

    Raises:
        Unsupported: with what was found and the remedy.
    """
    declared = dict(declared or {})
    records = False
    fields = _fields(returned, declared)
    if fields is None and takes == "batch":
        row = _row(returned)
        fields = _fields(row, declared) if row is not None else None
        records = fields is not None
    if fields is None:
        form, fields = _plain(returned, declared)
    else:
        form, fields = fields
    rows = takes == "batch" and not records
    outputs = []
    for name, field, annotation in fields:
        try:
            said = _meaning(annotation, declared.get(name))
            outputs.append(_output(name, field, said, rows))
        except Unsupported as error:
            found, remedy = error.args
            label = f"output {name!r}: " if form != "value" else ""
            raise Unsupported(f"{label}{found}", remedy) from error
    return {"outputs": outputs, "form": form, "records": records}


def _fields(annotation, declared):
    """(form, [(output, field, annotation)]) of an annotation that has parts; None otherwise."""
    if isinstance(annotation, dict):
        return "dict", [(name, name, part) for name, part in annotation.items()]
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        hints = typing.get_type_hints(annotation, include_extras=True)
        names = [field.name for field in dataclasses.fields(annotation)]
        return "object", [(name, name, hints[name]) for name in names]
    if isinstance(annotation, type) and issubclass(annotation, tuple) and annotation is not tuple:
        hints = typing.get_type_hints(annotation, include_extras=True)
        if not hints:
            raise Unsupported(f"{spelled(annotation)} has no annotated fields", "use NamedTuple")
        return "object", [(name, name, part) for name, part in hints.items()]
    if typing.is_typeddict(annotation) or type(annotation).__name__ == "_TypedDictMeta":
        if missing := sorted(annotation.__optional_keys__):
            raise Unsupported(f"key {missing[0]!r} may be missing", "return every key each time")
        hints = typing.get_type_hints(annotation, include_extras=True)
        return "dict", [(name, name, _required(part)) for name, part in hints.items()]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    mappings = (dict, collections.abc.Mapping)
    if annotation in mappings or origin in mappings:
        if not declared:
            raise Unsupported(
                f"{spelled(annotation)} does not tell its keys",
                "declare them under outputs, or return a TypedDict or a dataclass",
            )
        part = arguments[1] if len(arguments) == 2 else inspect.Parameter.empty
        part = inspect.Parameter.empty if part is typing.Any else part
        return "dict", [(name, name, part) for name in declared]
    if (origin is tuple and Ellipsis not in arguments) or annotation is tuple:
        return _tuple(annotation, arguments, declared)
    return None


def _tuple(annotation, arguments, declared):
    arguments = arguments or (inspect.Parameter.empty,) * len(declared)
    if len(declared) != len(arguments):
        raise Unsupported(
            f"{spelled(annotation)} does not name its {len(arguments) or ''} parts".replace(
                "  ", " "
            ),
            "declare as many under outputs, in that order; or return a NamedTuple or a dataclass",
        )
    parts = zip(declared, range(len(arguments)), arguments)  # noqa: B905 - as long, see above
    return "tuple", list(parts)


def _required(annotation):
    """The type inside ``Required[...]``."""
    name = getattr(typing.get_origin(annotation), "_name", "")
    return typing.get_args(annotation)[0] if name == "Required" else annotation


def _row(annotation):
    """``Result`` of ``list[Result]``; None for anything else."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    lists = (list, collections.abc.Sequence, collections.abc.Iterable)
    return arguments[0] if origin in lists and arguments else None


def _plain(returned, declared):
    if returned is inspect.Parameter.empty and not declared:
        raise Unsupported(
            "is not annotated", "annotate it (-> str, -> list[str], ...), or declare outputs"
        )
    if len(declared) > 1 and returned is inspect.Parameter.empty:
        return "any", [(name, name, returned) for name in declared]
    name = next(iter(declared)) if len(declared) == 1 else SINGLE
    return "value", [(name, None, returned)]


def _meaning(annotation, declared):
    if annotation is inspect.Parameter.empty:
        if declared is None:
            raise Unsupported("is not annotated", "annotate it, or declare it under outputs")
        dtype, shape = declaration(declared)
        return Meaning("array", dtype, shape)
    said = meaning(annotation)
    if said.nullable:
        raise Unsupported(
            f"{spelled(annotation)} may be None", "a tensor cannot be: return a value"
        )
    if declared is not None:
        said = overridden(said, *declaration(declared))
    if said.dtype is None or said.shape is None:
        missing = "dtype" if said.dtype is None else "shape"
        raise Unsupported(
            f"{spelled(annotation)} does not tell its {missing}",
            'write Annotated[np.ndarray, "float32[batch, 3]"], or declare it under outputs',
        )
    return said


def _output(name, field, said, rows):
    """One output; ``rows``: its first axis is the batch."""
    shape = said.shape
    if rows:
        if not shape or shape[0] not in (BATCH, None):
            written = f"{said.dtype}[{', '.join(map(str, shape))}]"
            raise Unsupported(
                f"the method takes whole batches, but {said.kind} {written} is not one row an item",
                f"return a list, or an array whose first axis is named {BATCH!r}",
            )
        shape = shape[1:]
    elif BATCH in shape:
        raise Unsupported(
            f"has an axis {BATCH!r}, but the method takes one item",
            f"leave {BATCH!r} out: requests are joined around the method",
        )
    shape = [f"{name}_axis{axis}" if dim is None else dim for axis, dim in enumerate(shape)]
    return {"name": name, "dtype": said.dtype, "shape": shape, "kind": said.kind, "field": field}
