"""What a request raised, as it is answered and logged."""

import traceback
from pathlib import Path

from nos_python_model.arguments import BadInput
from nos_python_model.problems import shown

_OWN = (Path(__file__).parent, Path(__file__).parents[1])
"""Where the adapter's own files are, and its entry."""


_MOST_LETTERS = 10_000


class Failure:
    """The answer to a request that failed.

    ``message`` is for the caller. ``traceback`` is for the log, from the user's method on; empty
    where ``is_bad_input``, for which the caller is at fault.
    """

    def __init__(self, error):
        self.error = error
        self.is_bad_input = isinstance(error, BadInput)
        message = str(error) if self.is_bad_input else shown(error)
        # As Triton can carry it: it would fail all requests for text that is no UTF-8.
        self.message = message[:_MOST_LETTERS].encode("utf-8", "replace").decode()
        self.traceback = "" if self.is_bad_input else _users_traceback(error)


def _users_traceback(error):
    frame = error.__traceback__
    while frame is not None and Path(frame.tb_frame.f_code.co_filename).parent in _OWN:
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame))
