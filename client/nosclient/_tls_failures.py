"""What was said of a TLS connection that failed goes in; our error with the remedy comes out.

Python says ``[SSL: CERTIFICATE_VERIFY_FAILED] ...``, gRPC has the same words of OpenSSL's in the
text of its UNAVAILABLE.
"""

from __future__ import annotations

from nosclient._errors import NosClientError, ServerUnavailable, Unauthorized, UntrustedServer

_UNVERIFIED = "CERTIFICATE_VERIFY_FAILED"
_WRONG_NAME = ("Hostname Verification Check failed", "Hostname mismatch", "IP address mismatch")
_EXPIRED = ("certificate has expired", "certificate is not yet valid")
# What a server that wants a client's certificate ends the handshake with, where it says so.
_CLIENT_REFUSED = (
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_UNKNOWN_CA",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_ACCESS_DENIED",
    "ALERT_HANDSHAKE_FAILURE",
)
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "record layer failure")


def tls_failure(message: str, url: str) -> NosClientError | None:
    """The error, or None where the message is about something else.

    Args:
        message: of the library.
        url: of the server.
    """
    if any(sign in message for sign in _WRONG_NAME):
        return UntrustedServer(
            f"the certificate of {url} is for another name; write the url with a name that is in "
            "it, or that name as TLS(server_name=...)"
        )
    if any(sign in message for sign in _EXPIRED):
        return UntrustedServer(
            f"the certificate of {url} is out of date (has expired, or is not valid yet); the "
            "server needs a new one, or a clock here or there is wrong"
        )
    if _UNVERIFIED in message:
        reason = message.rpartition(f"{_UNVERIFIED}")[2].strip("]: ")
        return UntrustedServer(
            f"the certificate of {url} is of no authority that is trusted here ({reason}); give "
            "the one that signed it, TLS(ca='ca.pem')"
        )
    if any(sign in message for sign in _CLIENT_REFUSED):
        return Unauthorized(
            f"{url} refuses this client's certificate, or wants one and got none; give one that "
            "the server's authority signed, TLS(certificate=..., key=...)"
        )
    if any(sign in message for sign in _NO_TLS):
        return ServerUnavailable(
            f"what listens at {url} does not speak TLS; if that is meant, write {_plain(url)}",
            was_sent=False,
        )
    return None


def broken_handshake(reason: str, url: str) -> str:
    """For a connection that was closed without a word, as far as it was told, as TLS began."""
    return (
        f"{url} closed the connection ({reason}): it stopped; or it wants a certificate of this "
        "client, or another one, TLS(certificate=..., key=...); or it does not speak TLS, then "
        f"write {_plain(url)}; or it speaks another protocol behind TLS"
    )


def _plain(url: str) -> str:
    return url.replace("grpcs://", "grpc://").replace("https://", "http://")
