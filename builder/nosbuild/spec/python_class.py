"""The source text of a user's class -> its methods and their parameters, without importing it.

The class may need packages that only its own environment has; reading its text needs none.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nosbuild.spec.problems import Finding, did_you_mean, one_of
from nosbuild.spec.references import CallableReference
from nosbuild.spec.yaml_source import KeyPath

KEY: KeyPath = ("source", "python")

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_VALUES = ("str", "bytes", "int", "float", "bool")


@dataclass(frozen=True)
class Parameters:
    """What a method takes by keyword, beside ``self``."""

    where: str
    """``model.py:12``."""
    names: tuple[str, ...]
    required: tuple[str, ...]
    """Those without a default."""
    takes_any: bool
    """It has ``**kwargs``."""
    gives_one: bool
    """What it returns is one output, as the text tells; otherwise there may be others."""


@dataclass(frozen=True)
class PythonClass:
    """What the text of a class tells."""

    name: str
    where: str
    """``model.py:12``."""
    methods: dict[str, Parameters | None]
    """By name; None where a decorator may change their parameters."""
    properties: tuple[str, ...]
    bound: tuple[str, ...]
    """Other names of the class: imported or assigned, perhaps methods too."""
    init: Parameters | None
    """None where the text does not tell."""
    complete: bool
    """False where other methods may come from elsewhere: base classes, decorators."""

    @property
    def servable(self) -> tuple[str, ...]:
        """Methods that someone may want to serve, in the order of the text."""
        return tuple(name for name in self.methods if is_servable(name))


def is_servable(method: str) -> bool:
    """False for the methods that Python or the server calls itself, and for private ones."""
    return method == "__call__" or not (method.startswith("_") or method == "close")


def read_class(folder: Path, reference: str, python: object = None) -> PythonClass | Finding | None:
    """Read the class that a reference names.

    Args:
        folder: the model's folder.
        reference: ``file.py:Class`` or ``module:Class``.
        python: the version of Python that the class is for, as a spec writes it.

    Returns:
        What is wrong with it in place of the class; None where the text does not tell: a module,
        an imported name, syntax newer than the Python that runs here.
    """
    try:
        parsed = CallableReference.parse(reference)
        if parsed.file is None:
            return None
        content = (folder / parsed.file).read_bytes()
    except (ValueError, OSError):
        return None  # told with the reference itself
    try:
        scope: ast.Module | ast.ClassDef = ast.parse(content)
    except (SyntaxError, ValueError) as error:
        return None if _is_newer(python) else _no_python(parsed.file, error)
    for part in parsed.name.split("."):
        found = _find(scope, part, parsed.file)
        if not isinstance(found, ast.ClassDef):
            return found
        scope = found
    assert isinstance(scope, ast.ClassDef), "a name has at least one part"
    return _class(scope, parsed.file)


def classes_in(file: Path) -> tuple[str, ...]:
    """Names of the public classes of a file, in their order; none where it is no Python."""
    try:
        statements = _statements(ast.parse(file.read_bytes()))
    except (SyntaxError, ValueError):
        return ()
    return tuple(
        one.name for one in statements if isinstance(one, ast.ClassDef) and one.name[0] != "_"
    )


def _is_newer(python: object) -> bool:
    try:
        wanted = tuple(int(part) for part in str(python).split("."))
    except ValueError:
        return False
    return wanted > sys.version_info[:2]


def _no_python(file: str, error: SyntaxError | ValueError) -> Finding:
    if isinstance(error, SyntaxError) and error.lineno:
        found = f"{file}:{error.lineno} is no Python: {error.msg}"
        return Finding(KEY, found, f"correct line {error.lineno} of {file}")
    return Finding(KEY, f"{file} is no Python: {error}", f"correct {file}")


def _statements(scope: ast.AST) -> Iterator[ast.stmt]:
    """Those that define names of the scope, inside ``if``, ``try`` and ``with`` too."""
    for child in ast.iter_child_nodes(scope):
        if isinstance(child, (ast.If, ast.Try, ast.With, ast.ExceptHandler)):
            yield from _statements(child)
        elif isinstance(child, ast.stmt):
            yield child


def _find(scope: ast.AST, name: str, file: str) -> ast.ClassDef | Finding | None:
    statements = list(_statements(scope))
    # The last definition is the one that Python keeps.
    for one in reversed(statements):
        if isinstance(one, ast.ClassDef) and one.name == name:
            return one
        if isinstance(one, _Function) and one.name == name:
            classes = [other.name for other in statements if isinstance(other, ast.ClassDef)]
            remedy = one_of(classes) if classes else "make it the __call__ of a class"
            return Finding(KEY, f"{name!r} in {file} is a function, not a class", remedy)
        if {name, "*"} & set(_bound(one)):
            return None
    classes = [one.name for one in statements if isinstance(one, ast.ClassDef)]
    remedy = did_you_mean(name, classes, one_of(classes) if classes else f"write it in {file}")
    return Finding(KEY, f"{file} has no class {name!r}", remedy)


def _bound(statement: ast.stmt) -> list[str]:
    """Names that an import or an assignment binds; ``*`` for an import of everything."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).partition(".")[0] for alias in statement.names]
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        stored = ast.walk(statement)
        return [
            node.id
            for node in stored
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        ]
    return []


def _class(node: ast.ClassDef, file: str) -> PythonClass:
    methods: dict[str, Parameters | None] = {}
    properties: list[str] = []
    bound: list[str] = []
    for one in _statements(node):
        if isinstance(one, _Function):
            kinds = [_decorator(decorator) for decorator in one.decorator_list]
            if any(kind.endswith(("property", "setter")) for kind in kinds):
                properties.append(one.name)
            else:
                methods[one.name] = _parameters(one, kinds, file)
        else:
            bound += _bound(one)
    decorated = [_decorator(decorator) for decorator in node.decorator_list]
    bases = [
        base for base in node.bases if not (isinstance(base, ast.Name) and base.id == "object")
    ]
    plain = not bases and not node.keywords
    is_dataclass = any(name.endswith("dataclass") for name in decorated)
    init = methods.get("__init__")
    if "__init__" not in methods and plain and not decorated:
        where = f"{file}:{node.lineno}"
        init = Parameters(where, (), (), takes_any=False, gives_one=False)
    return PythonClass(
        name=node.name,
        where=f"{file}:{node.lineno}",
        methods=methods,
        properties=tuple(properties),
        bound=tuple(bound),
        init=init,
        complete=plain and (not decorated or is_dataclass),
    )


def _decorator(node: ast.expr) -> str:
    called = node.func if isinstance(node, ast.Call) else node
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "?")


def _parameters(node: _Function, decorators: list[str], file: str) -> Parameters | None:
    if set(decorators) - {"staticmethod", "classmethod", "abstractmethod"}:
        return None
    arguments = node.args
    bound = 0 if "staticmethod" in decorators else 1
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = len(arguments.defaults)
    required = [one.arg for one in positional[: len(positional) - with_default]][bound:]
    keyword_only = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    required += [one.arg for one, default in keyword_only if default is None]
    names = [one.arg for one in (*positional[bound:], *arguments.kwonlyargs)]
    return Parameters(
        where=f"{file}:{node.lineno}",
        names=tuple(names),
        required=tuple(required),
        takes_any=arguments.kwarg is not None,
        gives_one=_is_one(node.returns),
    )


def _is_one(annotation: ast.expr | None) -> bool:
    """``str``, ``list[list[int]]``, ``Annotated[np.ndarray, ...]``: nothing that has parts."""
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name):
        inner = annotation.slice
        if annotation.value.id == "Annotated" and isinstance(inner, ast.Tuple) and inner.elts:
            inner = inner.elts[0]
        return annotation.value.id in ("list", "Annotated") and _is_one(inner)
    if isinstance(annotation, ast.Attribute):
        return annotation.attr == "ndarray"
    return isinstance(annotation, ast.Name) and annotation.id in _VALUES
