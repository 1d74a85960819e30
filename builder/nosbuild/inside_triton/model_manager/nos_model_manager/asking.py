"""The text of a request goes in; what is asked for, checked, comes out.

    {"operation": "ensure", "model": "ocr", "timeout": 30}     load it unless it is loaded
    {"operation": "ensure", "model": "ocr", "again": true}     its newest version, though loaded
    {"operation": "release", "model": "ocr"}                   unload it
    {"operation": "pin", "model": "ocr"}  {"operation": "unpin", "model": "ocr"}
    {"operation": "forget", "model": "ocr"}                    it is no model any more
    {"operation": "scale", "model": "ocr", "instances": 2}     so many instances from now on
    {"operation": "scale", "model": "ocr", "instances": [1, 4]}    as many of these as are needed
    {"operation": "status"}
    {"operation": "index"}                                     Triton's own, of the repository
    {"operation": "budget"}  {"operation": "budget", "bytes": 4294967296, "gpu_bytes": {"0": 1}}

``timeout`` (seconds) may stand in all of them. ``models``, in ``ensure`` and in ``status``, which
loads none, makes models known as ``catalogue.py`` describes them.
"""

import json
import math
from dataclasses import dataclass, field

from .refusal import INVALID_ARG, Refusal
from .sizes import Sizes, read

_ABOUT_A_MODEL = ("ensure", "release", "forget", "pin", "unpin", "scale")
OPERATIONS = (*_ABOUT_A_MODEL, "status", "index", "budget")
_KEYS = ("operation", "model", "timeout", "bytes", "gpu_bytes", "again", "models", "instances")
MOST_INSTANCES = 256
MANAGER = "model_manager"
"""This model itself, which is not among those that it loads and unloads."""
DEFAULT_SECONDS = 300.0
MOST_SECONDS = 86400.0


@dataclass(frozen=True)
class Asked:
    """One request."""

    operation: str
    model: str = ""
    timeout: float = DEFAULT_SECONDS
    sizes: Sizes = field(default_factory=Sizes)
    """Of a budget; empty: it is only asked for."""
    again: bool = False
    models: dict = field(default_factory=dict)
    instances: tuple | None = None
    """The least and the most."""


def read_request(text):
    """What the text asks for.

    Raises:
        Refusal: it cannot be understood; says what may be asked.
    """
    try:
        asked = json.loads(text)
    except (ValueError, RecursionError):
        raise _bad("the request is no JSON") from None
    if not isinstance(asked, dict):
        raise _bad("the request is no JSON object")
    operation = asked.get("operation")
    if operation not in OPERATIONS:
        raise _bad(f"operation is {operation!r}")
    if unknown := sorted(set(asked) - set(_KEYS)):
        raise _bad(f"{unknown[0]!r} is unknown")
    if "models" in asked and operation not in ("ensure", "status"):
        raise _bad("'models' belongs to ensure and status")
    model = asked.get("model", "")
    if operation in _ABOUT_A_MODEL and not (isinstance(model, str) and model):
        raise _bad(f"{operation} needs the name of a model, not {model!r}")
    return Asked(
        operation,
        model,
        _seconds(asked.get("timeout")),
        _sizes(asked),
        asked.get("again") is True,
        _models(asked.get("models") or {}),
        _instances(asked.get("instances"), operation),
    )


def _bad(found):
    example = '{"operation": "ensure", "model": "NAME", "timeout": 30}'
    return Refusal(
        INVALID_ARG, f"{found}; write e.g. {example}; operations are {', '.join(OPERATIONS)}"
    )


def _is_number(value):
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        return False


def _seconds(value):
    if value is None:
        return DEFAULT_SECONDS
    if not _is_number(value) or value <= 0:
        raise _bad(f"timeout is {value!r}, and must be seconds above 0")
    return min(float(value), MOST_SECONDS)


def _sizes(asked):
    gpus = asked.get("gpu_bytes") or {}
    if not (isinstance(gpus, dict) and all(str(gpu).isdigit() for gpu in gpus)):
        raise _bad(f'gpu_bytes is {gpus!r}, and must be {{"0": bytes, ...}}')
    given = [("bytes", asked.get("bytes")), *((f"gpu_bytes of {gpu}", gpus[gpu]) for gpu in gpus)]
    for key, value in given:
        if value is not None and not (_is_number(value) and value >= 1):
            raise _bad(f"{key} is {value!r}, and must be a number above 0")
    return read(asked)


def _instances(value, operation):
    if (value is not None) != (operation == "scale"):
        raise _bad("'instances' belongs to scale, and scale needs it")
    if value is None:
        return None
    pair = tuple(value) if isinstance(value, list) else (value, value)
    are_whole = all(isinstance(one, int) and not isinstance(one, bool) for one in pair)
    if not (len(pair) == 2 and are_whole and 1 <= pair[0] <= pair[1] <= MOST_INSTANCES):
        raise _bad(
            f"instances is {value!r}, and must be a number from 1 to {MOST_INSTANCES}, or two, of "
            "which the second is not the smaller one"
        )
    return pair


def _models(value):
    try:
        for name, entry in value.items():
            if not (name and isinstance(name, str) and isinstance(entry, dict)):
                raise ValueError
            if name == MANAGER:
                raise ValueError
            if not all(isinstance(called, str) for called in entry.get("calls", ())):
                raise ValueError
            if not all(_is_number(entry.get(key, 0)) for key in ("bytes", "idle_seconds")):
                raise ValueError
            if not isinstance(entry.get("config"), (dict, type(None))):
                raise ValueError
            _sizes({"gpu_bytes": entry.get("gpu_bytes")})
            if not isinstance(entry.get("is_trial", False), bool):
                raise ValueError
    except (AttributeError, TypeError, ValueError):
        raise _bad('models is not {"NAME": {"calls": [...], "bytes": 0}, ...}') from None
    return value
