"""A client's message, which speaks of Python, goes in; the same with the command line's options
comes out.
"""

from __future__ import annotations

import re

_WORDS = (
    (r"TLS\(ca='ca\.pem'\)", "--ca ca.pem"),
    (r"TLS\(certificate=\.\.\., key=\.\.\.\)", "--cert FILE --key FILE"),
    (r"TLS\(server_name=\.\.\.\)", "--server-name NAME"),
    (r"token=\.\.\., headers=\{\.\.\.\}", "--token, --header NAME=VALUE"),
    (
        r"make the client with restricted_keys=\{'([^']*)': \.\.\.\}",
        r"give --restricted-key \1=VALUE",
    ),
)
"""As in nosclient's _tls_failures.py and _error_map.py; tests/cli/test_secured_servers.py finds
what is missing here."""


def in_options(message: str) -> str:
    """The message for whom has no Python at hand."""
    for python, option in _WORDS:
        message = re.sub(python, option, message)
    return message
