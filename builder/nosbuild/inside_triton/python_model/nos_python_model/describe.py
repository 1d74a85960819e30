"""A user's class goes in; what Triton must know of it, or what is wrong with it, comes out."""

import inspect
import sys
import typing
from collections.abc import AsyncIterable, Iterable

from nos_python_model.annotations import STREAMS, Unsupported
from nos_python_model.inputs import described_inputs
from nos_python_model.loading import load_class
from nos_python_model.outputs import described_outputs
from nos_python_model.problems import Problem, location

GIVEN = ("device", "models")
"""Arguments of ``__init__`` that the adapter gives, where the class has them."""


def describe(folder, reference, init_names, methods, declared_inputs, declared_outputs):
    """What the class says of itself.

    Args:
        folder: where the user's files are.
        reference: ``model.py:Summary``.
        init_names: names of the arguments that the spec gives to ``__init__``.
        methods: names of the methods to serve.
        declared_inputs: argument -> ``float32[batch, 3]``: overrides the annotation; as the METHOD
            takes it.
        declared_outputs: likewise, by output.

    Returns:
        ``{"class", "init": {"device": bool, "models": bool}, "close": bool, "methods": {name:
        {"inputs", "outputs", "takes": "item" | "batch", "form", "records", "is_async",
        "streams"}}}``. An input is ``{"name", "dtype", "shape", "kind", "optional", "nullable",
        "default", "option"}`` (see inputs.py), an output ``{"name", "dtype", "shape", "kind",
        "field"}``; shapes are an item's, without the batch axis, of sizes and names of axes.
        ``form`` is how the outputs stand in what the method returns (see outputs.py).
        Or ``{"problems": [{"where", "found", "remedy"}]}``.
    """
    try:
        cls = load_class(folder, reference)
    except Problem as problem:
        return {"problems": [problem.as_json()]}
    problems = []
    init = _attempt(problems, _described_init, folder, cls, init_names)
    described = {
        name: _attempt(
            problems, _described_method, folder, cls, name, declared_inputs, declared_outputs
        )
        for name in methods
    }
    if not problems:
        rows = described.values()
        problems += _unmatched("inputs", declared_inputs, [row["inputs"] for row in rows])
        problems += _unmatched("outputs", declared_outputs, [row["outputs"] for row in rows])
    if problems:
        return {"problems": [problem.as_json() for problem in problems]}
    return {
        "class": cls.__name__,
        "init": init,
        "close": callable(getattr(cls, "close", None)),
        "methods": described,
    }


def _unmatched(section, declared, tensors):
    """Declared names that no method has."""
    names = list(dict.fromkeys(tensor["name"] for rows in tensors for tensor in rows))
    return [
        Problem(
            f"model.yaml: {section}.{name}",
            f"the class has no {section[:-1]} {name!r}",
            f"it has {', '.join(names)}",
        )
        for name in declared
        if name not in names
    ]


def _attempt(problems, function, *arguments):
    try:
        return function(*arguments)
    except Problem as problem:
        problems.append(problem)
        return None


def _described_init(folder, cls, init_names):
    if cls.__init__ is object.__init__:
        if init_names:
            raise Problem(
                _line(folder, cls), f"{cls.__name__} has no __init__", "remove source.init"
            )
        return dict.fromkeys(GIVEN, False)
    where, what = _line(folder, cls.__init__), f"{cls.__name__}.__init__"
    parameters = _parameters(cls, "__init__")
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    unknown = [name for name in init_names if name not in parameters and not anything]
    if unknown:
        takes = ", ".join(parameters) or "nothing"
        raise Problem(
            where, f"{what} takes no {unknown[0]!r}", f"it takes {takes}: see source.init"
        )
    given = {name: name in parameters and name not in init_names for name in GIVEN}
    for name, parameter in parameters.items():
        needed = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        )
        if needed and name not in init_names and name not in GIVEN:
            raise Problem(
                where,
                f"{what} needs {name!r}, which source.init does not give",
                f"write init: {{{name}: ...}} in the model.yaml, or give it a default",
            )
    return given


def _described_method(folder, cls, name, declared_inputs, declared_outputs):
    function = getattr(cls, name, None)
    if not callable(function) or (name == "__call__" and "__call__" not in dir(cls)):
        public = [key for key, value in vars(cls).items() if callable(value) and key[0] != "_"]
        raise Problem(
            _line(folder, cls),
            f"{cls.__name__} has no method {name!r}",
            f"its methods are {', '.join(public) or 'none'}: name them under methods",
        )
    where, what = _line(folder, function), f"{cls.__name__}.{name}"
    hints = _hints(folder, where, what, function)
    streams = _streams(function, hints.get("return"))
    try:
        parameters = _parameters(cls, name)
        inputs, takes = described_inputs(parameters, hints, declared_inputs, streams)
    except Unsupported as error:
        found, remedy = error.args
        raise Problem(where, f"{what}: {found}", remedy) from error
    returned = hints.get("return", inspect.Parameter.empty)
    if streams and returned is not inspect.Parameter.empty:
        returned = (typing.get_args(returned) or (inspect.Parameter.empty,))[0]
    try:
        outputs = described_outputs(returned, declared_outputs, takes)
    except Unsupported as error:
        found, remedy = error.args
        raise Problem(where, f"what {what} returns: {found}", remedy) from error
    return {
        "inputs": inputs,
        **outputs,
        "takes": takes,
        "is_async": _is_async(function, hints.get("return")),
        "streams": streams,
    }


def _streams(function, returned):
    origin = typing.get_origin(returned) or returned
    if origin in STREAMS:
        return True
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return returned is None or origin in (Iterable, AsyncIterable)
    return False


def _is_async(function, returned):
    """Whether the method, or what it streams, is awaited."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return True
    origin = typing.get_origin(returned) or returned
    return isinstance(origin, type) and issubclass(origin, AsyncIterable)


def _hints(folder, where, what, function):
    unwrapped = inspect.unwrap(function)
    try:
        return typing.get_type_hints(unwrapped, include_extras=True)
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise Problem(
            where,
            f"an annotation of {what} cannot be read: {error}",
            "import what it names at run time (not under TYPE_CHECKING), or correct it",
        ) from error


def _parameters(cls, name):
    """The arguments of a method as its caller sees them, without ``self``."""
    static = inspect.getattr_static(cls, name)
    parameters = list(inspect.signature(getattr(cls, name)).parameters.values())
    if not isinstance(static, (staticmethod, classmethod)):
        parameters = parameters[1:]
    return {parameter.name: parameter for parameter in parameters}


def _line(folder, thing):
    try:
        function = inspect.unwrap(thing) if callable(thing) else thing
        if isinstance(thing, type):
            module = sys.modules[thing.__module__]
            return location(folder, module.__file__, inspect.getsourcelines(thing)[1])
        return location(folder, function.__code__.co_filename, function.__code__.co_firstlineno)
    except (AttributeError, OSError, TypeError):
        return str(getattr(thing, "__qualname__", thing))
