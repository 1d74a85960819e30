"""A time limit that ran out goes in; our error comes out."""

from __future__ import annotations

from nosclient._call import Call
from nosclient._errors import DeadlineExceeded


def is_timeout(error: BaseException) -> bool:
    """True for our own time limit running out, not for the kernel's ETIMEDOUT."""
    import asyncio  # its TimeoutError is the built-in one only from Python 3.11 on

    if isinstance(error, asyncio.TimeoutError):
        return getattr(error, "errno", None) is None
    return isinstance(error, TimeoutError) and error.errno is None


def too_late(call: Call, url: str) -> DeadlineExceeded:
    """For a call that was not answered in its time.

    ``call.timeout`` is what it had: the deadline, less what went before it.
    """
    within = f"{call.timeout:.3g} s" if call.timeout else ""
    if call.method == "stream_infer":
        return DeadlineExceeded(
            f"the stream of {call.model!r} from {url} had not ended within {within or 'its time'}, "
            'which is for the whole of it; allow more with deadline=seconds, or float("inf")'
        )
    about = f"{call.method} of {call.model!r}" if call.model else call.method
    if not within:
        return DeadlineExceeded(
            f"the deadline passed before {about} was sent to {url}; allow more with "
            "deadline=seconds"
        )
    return DeadlineExceeded(
        f"no answer within {within} to {about} from {url}; allow more with deadline=seconds"
    )
