"""What a client shows to be let in: a token, headers, keys of Triton's restricted APIs."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence

from nosclient._address import Address
from nosclient._errors import InvalidInput, Unauthorized
from nosclient._tls import TLS

Token = str | Callable[[], str]
"""A bearer token, or what gives one: it is asked before each request."""

_NAME = re.compile(r"(?!.*-[bB][iI][nN]$)[0-9A-Za-z_.-]+")
"""What gRPC takes as well; it keeps names that end in -bin for values in bytes."""
_TRITON_PREFIX = "triton-grpc-protocol-"
"""Of gRPC's header for a restricted protocol; HTTP's is the key alone."""


class Credentials:
    """Headers of every request, and the certificates; shows none of them."""

    def __init__(
        self,
        addresses: Sequence[Address],
        *,
        tls: TLS | None = None,
        token: Token | None = None,
        headers: Mapping[str, str] | None = None,
        restricted_keys: Mapping[str, str] | None = None,
    ) -> None:
        is_secure = addresses[0].is_secure
        if tls is not None and not is_secure:
            secure = "grpcs" if addresses[0].is_grpc else "https"
            raise InvalidInput(f"TLS is not spoken at {addresses[0]}; write {secure}://")
        self.tls = (tls or TLS()) if is_secure else None
        if self.tls is not None:
            self.tls.check()
        prefix = _TRITON_PREFIX if addresses[0].is_grpc else ""
        fixed = {**(headers or {})}
        fixed.update({prefix + name: value for name, value in (restricted_keys or {}).items()})
        values = {name: _checked(name, value) for name, value in fixed.items()}
        # gRPC takes names in lower case only; HTTP does not mind.
        checked = {name.lower(): value for name, value in values.items()}
        if token is not None and "authorization" in checked:
            raise InvalidInput("both a token and the header 'authorization'; give one of them")
        self._fixed: Callable[[], dict[str, str]] = lambda: dict(checked)
        self._token = _source(token)
        self._is_empty = not checked and token is None
        if (checked or token is not None) and not is_secure:
            _warn(addresses)

    def headers(self, more: Mapping[str, str]) -> dict[str, str]:
        """Of the next request.

        Args:
            more: that the request has of its own.

        Raises:
            InvalidInput: the token that the callable gave is none.
            Unauthorized: the callable raised an error, which is the cause.
        """
        if self._is_empty:
            return dict(more)
        headers = {**more, **self._fixed()}
        if self._token is not None:
            try:
                token = self._token()
            except Exception as error:  # the caller's own code, which may raise anything
                raise Unauthorized(
                    f"there is no token to show: its function raised {type(error).__name__}"
                ) from error
            headers["authorization"] = f"Bearer {_checked('authorization', token)}"
        return headers

    def __repr__(self) -> str:
        return "Credentials(...)"


def _source(token: Token | None) -> Callable[[], str] | None:
    # A function, so that vars() of what holds it shows nothing.
    if token is None or callable(token):
        return token
    checked = _checked("authorization", token)
    return lambda: checked


def _checked(name: str, value: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} is no header's name; write letters, digits and '-'")
    # A value read from a file often ends in a line break, which is no part of it.
    text = value.strip() if isinstance(value, str) else ""
    if not (text and text.isascii() and text.isprintable()):
        what = "token" if name == "authorization" else f"header {name!r}"
        raise InvalidInput(
            f"the {what} is empty, or no printable ASCII text; its value is kept back"
        )
    return text


def _warn(addresses: Sequence[Address]) -> None:
    away = [address for address in addresses if not address.is_loopback]
    if away:
        secure = "grpcs" if away[0].is_grpc else "https"
        warnings.warn(
            f"a token, header or key goes to {away[0]} without TLS, for everyone on the way to "
            f"read; write {secure}:// where the server has TLS",
            UserWarning,
            stacklevel=5,
        )
