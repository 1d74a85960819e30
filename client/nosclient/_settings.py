"""The arguments of both clients, checked once: what they share is read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nosclient._address import Address, parse_addresses
from nosclient._call import Deadline
from nosclient._credentials import Credentials, Token
from nosclient._errors import InvalidInput
from nosclient._tls import TLS
from nosclient._transport_kind import MODES, Mode


@dataclass(frozen=True)
class Settings:
    """What a client was made with; its repr holds no secret."""

    addresses: tuple[Address, ...]
    deadline: float | None
    retries: int
    credentials: Credentials
    shared_memory: Mode = "off"
    strict: bool = True

    @classmethod
    def of(
        cls,
        url: str | Sequence[str],
        *,
        deadline: float | None,
        retries: int,
        tls: TLS | None,
        token: Token | None,
        headers: Mapping[str, str] | None,
        restricted_keys: Mapping[str, str] | None,
        shared_memory: Mode,
        strict: bool,
    ) -> Settings:
        """The arguments of a client, as its docstring tells them.

        Raises:
            InvalidInput: one of them does not do.
        """
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise InvalidInput(f"retries={retries!r}; write a whole number, 0 for none")
        Deadline(deadline)  # refuses what is no time
        if tls is not None and not isinstance(tls, TLS):
            raise InvalidInput('tls is a TLS, e.g. TLS(ca="ca.pem"), or None')
        addresses = parse_addresses(url, is_secure=tls is not None)
        credentials = Credentials(
            addresses, tls=tls, token=token, headers=headers, restricted_keys=restricted_keys
        )
        if shared_memory not in MODES:
            shown = ", ".join(map(repr, MODES))
            raise InvalidInput(
                f"shared_memory={shared_memory!r} is not known; write one of {shown}"
            )
        if shared_memory in ("system", "cuda") and len(addresses) > 1:
            raise InvalidInput(
                "shared memory is for one server, and several urls are given; write "
                'shared_memory="auto", which takes the wire then'
            )
        return cls(addresses, deadline, retries, credentials, shared_memory, strict)

    def __str__(self) -> str:
        """The urls as a client's repr shows them."""
        urls = [str(address) for address in self.addresses]
        return repr(urls[0] if len(urls) == 1 else urls)


def not_pickled(owner: object) -> TypeError:
    """For a client, or a model of one, that is pickled or copied: it has connections, threads."""
    kind = type(owner).__name__
    article = "an" if kind.startswith("A") else "a"
    return TypeError(f"{article} {kind} is not pickled or copied: make one in each process")
