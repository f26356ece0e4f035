"""A chat backend that answers one request of a page, as an OpenTelemetry user writes it; nothing in it knows of Parley.

    python otel_backend.py '{"endpoint": "http://…/v1/traces", "key": "sk_…", "openai": "http://…/v1", …}'

Members besides: instrumentation (genai, traceloop, openinference), encoding (protobuf, json), gzip, incoming (the page's headers),
baggage (whether baggage is put on spans), attributes (of the request's span), session (OpenInference), model, stream, headers.
Prints {"trace", "span", "exported": ["SUCCESS", …]}.
"""

import contextlib
import json
import os
import sys

options = json.loads(sys.argv[1])
os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = options.get("capture", "SPAN_ONLY")
os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
os.environ["TRACELOOP_TRACE_CONTENT"] = "true"

from openai import OpenAI, OpenAIError  # noqa: E402
from opentelemetry import propagate, trace  # noqa: E402
from opentelemetry.processor.baggage import BaggageSpanProcessor  # noqa: E402
from opentelemetry.sdk.resources import Resource  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter  # noqa: E402

headers = options.get("headers", {"Authorization": f"Bearer {options.get('key')}"})
if options.get("encoding", "protobuf") == "json":
    from opentelemetry.exporter.otlp.common.http import Compression
    from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
exporter = OTLPSpanExporter(
    endpoint=options["endpoint"], headers=headers, timeout=10,
    compression=Compression("gzip" if options.get("gzip") else "none"))


class Recorded(SpanExporter):
    """The exporter, and what it answered."""

    results = []

    def export(self, spans):
        result = exporter.export(spans)
        self.results.append(result.name)
        return result

    def shutdown(self):
        exporter.shutdown()


provider = TracerProvider(resource=Resource.create({"service.name": "chat-backend"}))
if options.get("baggage", True):
    provider.add_span_processor(BaggageSpanProcessor(lambda key: key.startswith("chat.")))
provider.add_span_processor(BatchSpanProcessor(Recorded()))
trace.set_tracer_provider(provider)

name = options.get("instrumentation", "genai")
if name == "genai":
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
elif name == "traceloop":
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor
else:
    from openinference.instrumentation.openai import OpenAIInstrumentor
OpenAIInstrumentor().instrument(tracer_provider=provider)

session = contextlib.nullcontext()
if options.get("session"):
    from openinference.instrumentation import using_attributes

    session = using_attributes(**options["session"])

client = OpenAI(base_url=options["openai"], api_key="sk-fake", max_retries=0)
context = propagate.extract(options.get("incoming", {}))
tracer = trace.get_tracer("app")
with tracer.start_as_current_span("POST /chat", context=context, kind=trace.SpanKind.SERVER) as span, session:
    for key, value in options.get("attributes", {}).items():
        span.set_attribute(key, value)
    try:
        answer = client.chat.completions.create(
            model=options.get("model", "gpt-4o"), temperature=0.2, max_tokens=50,
            messages=[{"role": "system", "content": "be brief"}, {"role": "user", "content": "Weather in Paris?"}],
            **({"stream": True, "stream_options": {"include_usage": True}} if options.get("stream") else {}))
        if options.get("stream"):
            for _ in answer:
                pass
    except OpenAIError:
        pass
provider.shutdown()
made = span.get_span_context()
print(json.dumps({"trace": f"{made.trace_id:032x}", "span": f"{made.span_id:016x}", "exported": Recorded.results}))
