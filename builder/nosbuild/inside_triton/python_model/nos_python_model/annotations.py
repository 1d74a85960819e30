"""A type annotation or a declaration goes in; what it says of a tensor comes out."""

import collections.abc
import dataclasses
import inspect
import re
import types
import typing

import numpy as np

DTYPES = (
    "bool",
    *("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64"),
    "string",
)
BATCH = "batch"
STREAMS = (
    collections.abc.Iterator,
    collections.abc.Generator,
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
)
"""A method that returns one of these yields its answer in chunks."""

ACCEPTED = (
    "str, bytes, int, float, bool, PIL.Image.Image, numpy arrays "
    '(Annotated[np.ndarray, "float32[batch, 3]"]) and lists of those'
)

_SCALARS = {
    str: ("str", "string"),
    bytes: ("bytes", "string"),
    int: ("int", "int64"),
    float: ("float", "float64"),
    bool: ("bool", "bool"),
}
_LISTS = (list, collections.abc.Sequence, collections.abc.Iterable)
_DECLARATION = re.compile(r"^\s*([A-Za-z_][A-Za-z0-9_]*)\s*(?:\[([^\]]*)\])?\s*$")
_AXIS = re.compile(r"^(?:[1-9][0-9]*|[A-Za-z_][A-Za-z0-9_]*)$")


class Unsupported(Exception):
    """An annotation that no tensor can carry; ``args`` are what was found and the remedy."""


@dataclasses.dataclass
class Meaning:
    """What an annotation says of one tensor.

    ``kind`` is the Python form: ``str bytes int float bool image array``, and ``list[...]`` of
    one of them, nested. ``shape`` is that of the whole value, None where it is not said.
    """

    kind: str
    dtype: str | None
    shape: list | None = None
    nullable: bool = False

    @property
    def depth(self):
        """How many lists stand around the innermost value."""
        return self.kind.count("[")

    @property
    def innermost(self):
        return self.kind.rpartition("[")[2].rstrip("]")


def meaning(annotation):
    """What one annotation says.

    Raises:
        Unsupported: with what was found, and what to write.
    """
    if typing.get_origin(annotation) is typing.Annotated:
        base, *metadata = typing.get_args(annotation)
        found = meaning(base)
        for text in metadata:
            if isinstance(text, str) and (declared := _declared(text)):
                found = overridden(found, *declared)
        return found
    if annotation in _SCALARS:
        return Meaning(*_SCALARS[annotation], [])
    if annotation is np.ndarray or typing.get_origin(annotation) is np.ndarray:
        return Meaning("array", _element_type(annotation))
    if isinstance(annotation, type):
        if issubclass(annotation, np.generic):
            return _numpy_scalar(annotation)
        if any(f"{c.__module__}.{c.__name__}" == "PIL.Image.Image" for c in annotation.__mro__):
            return Meaning("image", "string", [])
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        others = [argument for argument in arguments if argument is not type(None)]
        if len(others) == 1 and len(others) < len(arguments):
            return dataclasses.replace(meaning(others[0]), nullable=True)
    is_tuple = origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis
    if (origin in _LISTS and arguments) or is_tuple:
        return _list_of(meaning(arguments[0]))
    raise Unsupported(f"{spelled(annotation)} cannot be carried by a tensor", _advice(annotation))


def declaration(text):
    """``float32[batch, 3]`` -> ("float32", ["batch", 3]).

    Raises:
        Unsupported: not of that form, or an unknown dtype.
    """
    match = _DECLARATION.match(text)
    dims = (
        [part.strip() for part in match[2].split(",") if part.strip()] if match and match[2] else []
    )
    if not match or match[2] is None or not all(_AXIS.match(dim) for dim in dims):
        raise Unsupported(f"{text!r} is no tensor", "write dtype[dims], e.g. float32[batch, 3]")
    if match[1] not in DTYPES:
        raise Unsupported(f"{text!r} has no known dtype", f"write one of {', '.join(DTYPES)}")
    return match[1], [int(dim) if dim.isdigit() else dim for dim in dims]


def overridden(found, dtype, shape):
    """The meaning with the dtype and, unless None, the shape that are declared for it.

    Raises:
        Unsupported: they do not go with the Python type.
    """
    texts = {"str", "bytes", "image"}
    inner = found.innermost
    if inner != "array" and (inner in texts) != (dtype == "string"):
        raise Unsupported(f"{inner} does not go with {dtype}", "declare a dtype that fits the type")
    if shape is not None and inner != "array" and len(shape) != found.depth:
        shown = f"{dtype}[{', '.join(map(str, shape))}]"
        raise Unsupported(
            f"{found.kind} has {found.depth} axes, {shown} has {len(shape)}",
            "a list is one axis, a plain value none: let annotation and declaration agree",
        )
    return dataclasses.replace(found, dtype=dtype, shape=found.shape if shape is None else shape)


def spelled(annotation):
    """The annotation as a user writes it."""
    if typing.get_origin(annotation) is np.ndarray:
        elements = [
            arg for argument in typing.get_args(annotation) for arg in typing.get_args(argument)
        ]
        names = [getattr(element, "__name__", "Any") for element in elements]
        return f"NDArray[{names[-1] if names else 'Any'}]"
    if isinstance(annotation, type) and not typing.get_args(annotation):
        module = annotation.__module__
        prefix = "" if module in ("builtins", "__main__") else f"{module}."
        return prefix + annotation.__qualname__
    return inspect.formatannotation(annotation)


def _declared(text):
    """The dtype and shape of a metadata text; None where it is some other remark."""
    match = _DECLARATION.match(text)
    if match is None or (match[2] is None and match[1] not in DTYPES):
        return None
    return (match[1], None) if match[2] is None else declaration(text)


def _element_type(annotation):
    """``float32`` of ``NDArray[np.float32]``; None where it is not said."""
    for argument in typing.get_args(annotation):
        for scalar in typing.get_args(argument):
            if isinstance(scalar, type) and issubclass(scalar, np.generic):
                name = _dtype_name(scalar)
                if name is None:
                    raise Unsupported(f"{spelled(scalar)} is no dtype of Triton", _dtype_remedy())
                return name
    return None


def _dtype_name(scalar):
    if issubclass(scalar, (np.str_, np.bytes_, np.object_)):
        return "string"
    try:
        name = np.dtype(scalar).name
    except TypeError:
        return None
    return name if name in DTYPES else None


def _dtype_remedy():
    return f"use one of {', '.join(DTYPES)}"


def _numpy_scalar(annotation):
    name = _dtype_name(annotation)
    kinds = {"b": "bool", "i": "int", "u": "int", "f": "float"}
    if name is None or name == "string":
        raise Unsupported(f"{spelled(annotation)} cannot be carried by a tensor", ACCEPTED)
    return Meaning(kinds[np.dtype(name).kind], name, [])


def _list_of(item):
    if item.nullable:
        raise Unsupported("a list of values that may be None", "a tensor has no empty places")
    shape = None if item.shape is None else [None, *item.shape]  # None: an axis without a name
    return Meaning(f"list[{item.kind}]", item.dtype, shape)


def _advice(annotation):
    if annotation is list or annotation is collections.abc.Sequence:
        return "say of what, e.g. list[str]"
    if annotation is typing.Any or annotation is inspect.Parameter.empty:
        return f"write one of {ACCEPTED}"
    return f"write one of {ACCEPTED}; or convert inside the method"
