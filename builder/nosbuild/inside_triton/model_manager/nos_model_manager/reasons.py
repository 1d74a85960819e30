"""Triton's words for what went wrong go in; what went wrong, for a person to read, comes out."""

from __future__ import annotations

import re

_WHERE = re.compile(r"^\s*(?P<file>\S.*)\((?P<line>\d+)\): (?P<function>\S+)", re.MULTILINE)


def clean_reason(text: str) -> str:
    """What went wrong, without the words Triton wraps around it.

    Of a Python traceback the innermost frame is kept, as ``(file:line in function)``.
    """
    text = re.sub(r"^load failed for model '[^']*': ", "", text.strip())
    text = re.sub(r"version \d+ is at UNAVAILABLE state: ", "", text)
    message, _, frames = text.partition("\n\nAt:\n")
    message = re.sub(r"^(Internal|Invalid argument|Not found|Unsupported): ", "", message)
    message = message.removeprefix("TritonModelException: ").strip().rstrip(";").strip()
    where = _WHERE.search(frames)
    if where and "/backends/" not in where["file"]:
        return f"{message} ({where['file'].strip()}:{where['line']} in {where['function']})"
    return message
