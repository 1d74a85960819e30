"""Why the manager does not do what it was asked for, as its answer says it."""

NOT_FOUND = "NOT_FOUND"
UNAVAILABLE = "UNAVAILABLE"
INVALID_ARG = "INVALID_ARG"
INTERNAL = "INTERNAL"

MORE = "give it more: nosbuild budget SIZE, or --memory and --gpu-memory at the start"
NO_ROOM = "RESOURCE_EXHAUSTED: "
"""Begins the text where memory is what lacks; Triton has no code for it."""


class Refusal(Exception):
    """One of Triton's error codes, and a text for people that says what helps."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code
        self.text = text


def no_room(text, advice):
    """There is no room now; ``advice``: what helps."""
    return Refusal(UNAVAILABLE, f"{NO_ROOM}{text}; {advice}")
