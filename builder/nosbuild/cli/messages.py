"""An error's message and remedy go in; aligned lines come out, the same for every command."""

from __future__ import annotations

_INDENT = "  "


def message_lines(head: str, message: str, remedy: str) -> tuple[list[str], list[str]]:
    """Lines of what was found, and of what to do.

    The remedy is indented below the message. A message of several lines without a remedy is a
    list of problems, each with its own (SpecError): it starts on a line of its own, so that all
    of them align.
    """
    first, *rest = message.splitlines() or [""]
    helps = [_INDENT + line for line in remedy.splitlines()]
    if rest and not remedy:
        return [head, *(_INDENT + line for line in (first, *rest))], helps
    return [f"{head} {first}", *(_INDENT + line for line in rest)], helps
