import gzip
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from model.types import InputError
from service import tracing
from tests.service.servers import fake_server, sentiment

HERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """An OpenTelemetry collector that keeps what it is sent: its address, and the bodies."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", bodies
    server.shutdown()


@pytest.mark.slow
def test_requests_become_spans_without_their_texts(tmp_path):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    with collector() as (address, bodies):
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "AMENDS_LOG_FORMAT": "json"}
        with fake_server(tmp_path, **settings) as server:
            assert sentiment(server, "great pineapple").status_code == 200
    sent = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    resources = [part.resource.attributes for one in sent for part in one.resource_spans]
    assert {a.value.string_value for part in resources for a in part if a.key == "service.name"} == {"amends"}
    spans = [s for one in sent for r in one.resource_spans for part in r.scope_spans for s in part.spans]
    assert sorted(span.name for span in spans) == ["POST /v1/sentiment", "work"]
    assert len({span.trace_id for span in spans}) == 1
    assert not any(b"pineapple" in body for body in bodies)
    lines = [json.loads(line) for line in server.log.read_text("utf-8").splitlines()]
    assert [line["trace"] for line in lines if "path" in line] == [spans[0].trace_id.hex()]


def test_off_by_default():
    assert not tracing.wanted({})
    assert not tracing.wanted({**HERE, "OTEL_SDK_DISABLED": "true"})
    assert tracing.wanted(HERE)
    tracing.check({})
    tracing.check(HERE)


def test_another_protocol_is_an_error():
    with pytest.raises(InputError) as caught:
        tracing.check({**HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert (caught.value.field, caught.value.got) == ("OTEL_EXPORTER_OTLP_PROTOCOL", "'grpc'")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(InputError, match="not installed") as caught:
        tracing.check(HERE)
    assert "amends[otel]" in caught.value.expected
