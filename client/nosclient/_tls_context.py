"""The TLS of HTTP's connections, where the certificate has another name than the host."""

from __future__ import annotations

import ssl
from typing import Any


class NamedContext(ssl.SSLContext):
    """Checks another name than the one that was connected to, whoever connects."""

    server_name: str | None = None

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        options["server_hostname"] = self.server_name or options.get("server_hostname")
        return super().wrap_socket(*args, **options)

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        options["server_hostname"] = self.server_name or options.get("server_hostname")
        return super().wrap_bio(*args, **options)
