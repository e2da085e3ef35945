"""A receiver of OTLP over HTTP, made of OpenTelemetry's own protobuf classes. It takes nothing that the
specification does not allow, and says what was wrong.

  collector.py HOST PORT CONTROL-PORT [CERTIFICATE KEY]

At the control port: GET / is all that came, POST / a list of what to do with the next requests.
"""
import collections
import http.server
import json
import ssl
import sys
import threading
import time

from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

lock = threading.Lock()
came, acts = {"spans": [], "requests": [], "faults": []}, collections.deque()


class Wrong(Exception):
    pass


def must(holds, why):
    if not holds:
        raise Wrong(why)


def known(message):
    """No field that this version of the protocol does not have, however deep."""
    must(not list(UnknownFieldSet(message)), f"unknown fields in {type(message).__name__}")
    for field, value in message.ListFields():
        if field.message_type is not None:
            # Where the field is repeated the value has no descriptor of its own.
            for one in [value] if hasattr(value, "DESCRIPTOR") else value:
                known(one)


def value_of(value):
    kind = value.WhichOneof("value")
    must(kind is not None, "an attribute without a value")
    if kind == "array_value":
        all_of_it = [value_of(one) for one in value.array_value.values]
        must(len({type(one) for one in all_of_it}) < 2, "a list of several kinds")
        return all_of_it
    must(kind in ("string_value", "bool_value", "int_value", "double_value"), f"an attribute that is {kind}")
    return getattr(value, kind)


def attributes_of(attributes):
    found = {}
    for attribute in attributes:
        must(attribute.key and attribute.key not in found, f"the attribute {attribute.key!r} twice, or without a name")
        found[attribute.key] = value_of(attribute.value)
    return found


def span_of(span, resource):
    must(len(span.trace_id) == 16 and any(span.trace_id), "a trace id has 16 octets, not all of them zero")
    must(len(span.span_id) == 8 and any(span.span_id), "a span id has 8 octets, not all of them zero")
    must(len(span.parent_span_id) in (0, 8), "a parent's id has 8 octets")
    must(span.name, "a span without a name")
    must(span.kind in Span.SpanKind.values() and span.kind != Span.SPAN_KIND_UNSPECIFIED, "no kind of span")
    must(span.start_time_unix_nano <= span.end_time_unix_nano, "it ends before it begins")
    must(abs(time.time() - span.end_time_unix_nano / 1e9) < 3600, "it is of another time")
    must(span.flags & 0xFF == 3, "sampled and random are its W3C flags")
    must(span.flags >> 10 == 0, "flags that nobody knows")
    must(span.status.code in Status.StatusCode.values(), "no status")
    must(not span.status.message or span.status.code == Status.STATUS_CODE_ERROR, "a description is for errors")
    return {
        "resource": resource,
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "trace_state": span.trace_state,
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind),
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "attributes": attributes_of(span.attributes),
        "status": Status.StatusCode.Name(span.status.code),
        "description": span.status.message,
    }


def spans_of(octets):
    request = ExportTraceServiceRequest.FromString(octets)
    known(request)
    # Nothing stands twice, and nothing in a form that only a lenient reader understands.
    must(request.ByteSize() == len(octets), "not as protobuf would write it")
    spans = []
    for of_resource in request.resource_spans:
        resource = attributes_of(of_resource.resource.attributes)
        must(resource.get("service.name"), "nobody's spans")
        for of_scope in of_resource.scope_spans:
            must(of_scope.scope.name, "spans of no scope")
            spans += [span_of(span, resource) for span in of_scope.spans]
    must(spans, "a request without spans")
    ids = {(span["trace_id"], span["span_id"]) for span in spans}
    must(len(ids) == len(spans), "two spans of one id")
    for span in spans:
        must(not span["parent"] or (span["trace_id"], span["parent"]) in ids, "a parent that is not there")
    return spans


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        octets = self.rfile.read(int(self.headers["Content-Length"]))
        with lock:
            act = acts.popleft() if acts else {}
            came["requests"].append({"at": time.monotonic(), "path": self.path, "headers": {name.lower(): value for name, value in self.headers.items()}})
        if act.get("hang"):
            time.sleep(act["hang"])
            return
        if act.get("status"):
            return self.answer(act["status"], b"", act.get("headers", {}))
        try:
            must(self.path == "/v1/traces", f"not at {self.path}")
            must(self.headers["Content-Type"] == "application/x-protobuf", "not as protobuf")
            spans = spans_of(octets)
        except Exception as wrong:
            with lock:
                came["faults"].append(f"{type(wrong).__name__}: {wrong}")
            return self.answer(400, b"")
        response = ExportTraceServiceResponse()
        if act.get("rejected"):
            response.partial_success.rejected_spans = act["rejected"]
            response.partial_success.error_message = "too old for us"
        with lock:
            came["spans"] += spans
        self.answer(200, response.SerializeToString())

    def answer(self, status, octets, headers={}):
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(octets)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, *_):
        pass


class Control(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with lock:
            said = json.dumps(came).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said)

    def do_POST(self):
        with lock:
            acts.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    tls = None

    def get_request(self):
        stream, address = super().get_request()
        return (self.tls.wrap_socket(stream, server_side=True, do_handshake_on_connect=False) if self.tls else stream), address

    def handle_error(self, *_):
        # Whoever has gone, or does not trust us.
        pass


host, port, control = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if len(sys.argv) > 4:
    Server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    Server.tls.load_cert_chain(sys.argv[4], sys.argv[5])
threading.Thread(target=Server((host, port), Receiver).serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer((host, control), Control).serve_forever()
