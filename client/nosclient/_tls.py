"""How a client proves servers, and itself, with certificates; contexts for both protocols."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nosclient._errors import InvalidInput

if TYPE_CHECKING:
    import ssl

Pem = str | Path | bytes
"""The path of a PEM file, or what is in it."""


class _Hidden(bytes):
    """Bytes that are not shown."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    __str__ = __repr__


@dataclass(frozen=True)
class TLS:
    """Certificates of a connection.

    Args:
        ca: of the authorities that servers' certificates are trusted from; None for those that
            gRPC (its own list) or Python (the system's) trusts.
        certificate: this client's own, with those between it and the authority; for servers that
            ask for one (mutual TLS).
        key: the certificate's private key, not encrypted.
        server_name: the name that the server's certificate must have, where it is not the host of
            the url.

    Each is the path of a PEM file, or bytes of one. Files are read when a client is made.

    Raises:
        InvalidInput: one of certificate and key without the other.
    """

    ca: Pem | None = None
    certificate: Pem | None = None
    key: Pem | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            missing = "key" if self.key is None else "certificate"
            raise InvalidInput(f"TLS lacks the {missing}: certificate and key come together")
        for name in ("ca", "certificate", "key"):
            value = getattr(self, name)
            if isinstance(value, bytes):
                object.__setattr__(self, name, _Hidden(value))

    def channel_credentials(self) -> Any:
        """What gRPC takes.

        Raises:
            InvalidInput: a file that cannot be read.
        """
        import grpc

        self.check()
        ca, key, certificate = (
            _read(name, getattr(self, name)) for name in ("ca", "key", "certificate")
        )
        return grpc.ssl_channel_credentials(ca, key, certificate)

    def check(self) -> None:
        """Read everything, so that a wrong file is told when the client is made.

        Raises:
            InvalidInput: a file that is not there, or is no PEM file of its kind.
        """
        self.context()

    def context(self) -> ssl.SSLContext:
        """What HTTP takes.

        Raises:
            InvalidInput: a file that cannot be read, or is no PEM file.
        """
        import ssl  # here, for its share of the time that ``import nosclient`` takes

        from nosclient._tls_context import NamedContext

        context = NamedContext(ssl.PROTOCOL_TLS_CLIENT)
        context.server_name = self.server_name
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        ca = _read("ca", self.ca)
        try:
            if ca is None:
                context.load_default_certs()
            else:
                context.load_verify_locations(cadata=ca.decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError):
            raise InvalidInput(f"the ca {_shown(self.ca)} holds no certificate in PEM") from None
        if self.certificate is not None:
            self._load_own(context)
        return context

    def _load_own(self, context: ssl.SSLContext) -> None:
        certificate, key = _read("certificate", self.certificate), _read("key", self.key)
        assert certificate is not None, "it was checked"
        assert key is not None, "they come together"
        import ssl
        import tempfile

        # The standard library takes a client's certificate from files only.
        with tempfile.TemporaryDirectory(prefix="nosclient-") as folder:
            paths = (Path(folder) / "certificate", Path(folder) / "key")
            for path, content in zip(paths, (certificate, key), strict=True):
                path.touch(mode=0o600)
                path.write_bytes(content)
            try:
                # The password: an encrypted key is refused instead of asked for at the terminal.
                context.load_cert_chain(*paths, password="")
            except (ssl.SSLError, OSError, ValueError) as error:
                reason = getattr(error, "reason", None) or "not PEM, or the key is encrypted"
                raise InvalidInput(
                    f"the certificate {_shown(self.certificate)} and the key {_shown(self.key)} "
                    f"do not go together ({reason})"
                ) from None


def _read(name: str, value: Pem | None) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return None if value is None else bytes(value)
    try:
        return Path(value).read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"the {name} of TLS cannot be read: {error.strerror}: {str(value)!r}"
        ) from None


def _shown(value: Pem | None) -> str:
    return repr(value) if isinstance(value, bytes) else repr(str(value))
