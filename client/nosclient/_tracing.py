"""OpenTelemetry's spans and trace headers, for a program that uses OpenTelemetry.

Only asked once the program itself has imported ``opentelemetry.trace``: without that there is
neither a trace to continue nor anybody to send spans to, and nothing needs to be imported.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from nosclient._address import Address

NO_HEADERS: Mapping[str, str] = {}
_RPC = {"infer": "ModelInfer", "stream_infer": "ModelStreamInfer"}


class Tracer:
    """Spans of one client's inferences.

    gRPC's names are those of OpenTelemetry's conventions for RPC spans, HTTP's those for HTTP
    spans; the model's those of Triton's own spans (``triton.model_name``).
    """

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._address = addresses[0]
        self._is_alone = len(addresses) == 1
        self._tracer: Any = None
        self._inject: Any = None

    def span(self, method: str, model: str, version: str) -> tuple[Any, Mapping[str, str]]:
        """A span that has begun, and the headers that continue it on the server."""
        trace = sys.modules["opentelemetry.trace"]
        if self._tracer is None:
            from opentelemetry import propagate

            self._inject = propagate.inject
            self._tracer = trace.get_tracer("nosclient")
        name, attributes = self._named(method, model)
        if version:
            attributes["triton.model_version"] = version
        span = self._tracer.start_span(name, kind=trace.SpanKind.CLIENT, attributes=attributes)
        headers: dict[str, str] = {}
        self._inject(headers, context=trace.set_span_in_context(span))
        return span, headers

    def _named(self, method: str, model: str) -> tuple[str, dict[str, Any]]:
        address = self._address
        attributes: dict[str, Any] = {"triton.model_name": model}
        if self._is_alone:  # otherwise it is not known yet, and may change with a retry
            attributes.update({"server.address": address.host, "server.port": address.port})
        if address.scheme.startswith("http"):
            template = "/v2/models/{model}/infer"
            attributes["http.request.method"] = "POST"
            attributes["url.template"] = template
            if self._is_alone:
                attributes["url.full"] = f"{address}/v2/models/{model}/infer"
            return f"POST {template}", attributes
        called = f"inference.GRPCInferenceService/{_RPC[method]}"
        attributes["rpc.system.name"] = "grpc"
        attributes["rpc.method"] = called
        return called, attributes


def end(span: Any, outcome: str, message: str) -> None:
    """End a span; ``message`` is empty where all went well.

    Args:
        span: of ``Tracer.span``.
        outcome: the error's class.
        message: what went wrong.
    """
    if message:
        trace = sys.modules["opentelemetry.trace"]
        span.set_attribute("error.type", outcome)
        span.set_status(trace.Status(trace.StatusCode.ERROR, message))
    span.end()
