"""Traces for OpenTelemetry, where the standard environment variables name a collector."""

import os
from collections.abc import Mapping
from threading import Thread
from typing import TYPE_CHECKING, Final

from model.types import InputError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
PROTOCOL: Final = "http/protobuf"
FLUSH_SECONDS: Final = 2


def wanted(env: Mapping[str, str] | None = None) -> bool:
    """Whether a collector is named and tracing isn't disabled. env: the process's own by default."""
    env = os.environ if env is None else env
    return any(env.get(name) for name in ENDPOINTS) and env.get("OTEL_SDK_DISABLED", "").lower() != "true"


def check(env: Mapping[str, str] | None = None) -> None:
    """Raises InputError where traces are wanted and can't be sent."""
    env = os.environ if env is None else env
    if not wanted(env):
        return
    for name in PROTOCOLS:
        if (protocol := env.get(name) or PROTOCOL) != PROTOCOL:
            raise InputError(
                f"{name}: traces are sent as {PROTOCOL} alone",
                code="bad_setting",
                field=name,
                got=repr(protocol),
                expected=PROTOCOL,
            )
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: F401
    except ImportError:
        raise InputError(
            "Traces need a package that is not installed",
            code="missing_package",
            field=ENDPOINTS[0],
            got="no opentelemetry-exporter-otlp-proto-http",
            expected="pip install 'amends[otel]'",
        ) from None


def start() -> "TracerProvider":
    """The provider that sends spans to the collector, as the one of this process. Raises InputError as check does."""
    check()
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME") or "amends"
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider


def stop() -> None:
    """Sends what is left, for at most FLUSH_SECONDS: a collector that is gone must not hold up the end."""
    from opentelemetry import trace

    if (shutdown := getattr(trace.get_tracer_provider(), "shutdown", None)) is not None:
        last = Thread(target=shutdown, daemon=True)
        last.start()
        last.join(FLUSH_SECONDS)
