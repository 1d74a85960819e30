"""What a server asks of its clients goes in; clients that show it come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nosclient import TLS, Client


@dataclass(frozen=True)
class Access:
    """Certificates and secrets, as for ``nosclient.Client``; travels to other processes through
    pipes, and is never shown.
    """

    tls: TLS | None = None
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    restricted_keys: Mapping[str, str] = field(default_factory=dict, repr=False)

    def client(self, url: str, **options: Any) -> Client:
        """A client of the server at that url.

        Args:
            url: as for ``nosclient.Client``.
            **options: likewise, all that is not about access.

        Raises:
            InvalidInput: certificates or values that cannot be.
        """
        from nosclient import Client

        return Client(
            url,
            tls=self.tls,
            token=self.token,
            headers=self.headers or None,
            restricted_keys=self.restricted_keys or None,
            **options,
        )
