import AsyncHTTPClient
import Events
import Ingest
import Logging
import NIOCore
import NIOHTTP1
import ServiceLifecycle
import Synchronization

/// Tells an OpenTelemetry collector how the gateway itself fares (OTLP 1.x over HTTP, JSON encoding): for each parcel of events a span
/// `ingest` with those of its parts, `admit` and `commit`. In them are counts and times; no texts, users, IDs or keys.
///
/// Nothing waits for it: spans are gathered up to a bound and sent every two seconds; what does not fit, and what the collector did not
/// take, is counted and said in the log.
final class TraceExporter: Service, Sendable {
    struct Configuration: Sendable, Equatable {
        /// The whole address, like `http://127.0.0.1:4318/v1/traces`.
        var url: String
        /// Which share of parcels is told of, 0 to 1.
        var ratio = 1.0
        /// Sent along, as collectors that need a token want it.
        var headers: [(name: String, value: String)] = []

        static func == (a: Self, b: Self) -> Bool {
            a.url == b.url && a.ratio == b.ratio && a.headers.elementsEqual(b.headers) { $0 == $1 }
        }
    }

    /// Some 500 bytes each.
    private static let mostWaiting = 8192
    private static let mostARequest = 1024
    private static let pause = Duration.seconds(2)

    private struct Waiting {
        var spans: [JSONText] = []
        var dropped = 0
    }

    private let configuration: Configuration
    private let logger: Logger
    private let waiting = Mutex(Waiting())

    init(_ configuration: Configuration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// Takes a parcel's spans down, if it is among those to be told of.
    func note(_ report: ParcelReport) {
        guard configuration.ratio >= 1 || Double.random(in: 0..<1) < configuration.ratio else { return }
        let spans = Self.spans(of: report)
        waiting.withLock { waiting in
            if waiting.spans.count + spans.count > Self.mostWaiting {
                waiting.dropped += spans.count
            } else {
                waiting.spans += spans
            }
        }
    }

    func run() async throws {
        let client = HTTPClient(eventLoopGroupProvider: .singleton)
        try? await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                try await Task.sleep(for: Self.pause)
                await self.send(with: client)
            }
        }
        await send(with: client)
        try? await client.shutdown()
    }

    private func send(with client: HTTPClient) async {
        let (spans, dropped) = waiting.withLock { waiting in
            defer { waiting = Waiting() }
            return (waiting.spans, waiting.dropped)
        }
        var lost = dropped
        var why = "more came than two seconds may bring"
        for start in stride(from: 0, to: spans.count, by: Self.mostARequest) {
            let part = spans[start..<min(start + Self.mostARequest, spans.count)]
            do {
                try await send(part, with: client)
            } catch {
                lost += part.count
                why = "\(error)"
            }
        }
        if lost > 0 { logger.warning("spans of the gateway's own were not told", metadata: ["spans": "\(lost)", "error": "\(why)"]) }
    }

    private func send(_ spans: ArraySlice<JSONText>, with client: HTTPClient) async throws {
        var request = HTTPClientRequest(url: configuration.url)
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        request.headers.add(name: "User-Agent", value: "parley/\(Parley.version)")
        for header in configuration.headers { request.headers.replaceOrAdd(name: header.name, value: header.value) }
        request.body = .bytes(ByteBuffer(bytes: Self.body(spans)))
        let response = try await client.execute(request, timeout: .seconds(10))
        _ = try? await response.body.collect(upTo: 64 * 1024)
        guard (200..<300).contains(response.status.code) else { throw Complaint("the collector answered \(response.status)") }
    }

    // MARK: OTLP

    /// An `ExportTraceServiceRequest` (opentelemetry-proto 1.x, JSON).
    static func body(_ spans: some Sequence<JSONText>) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            writer.key("resourceSpans")
            writer.array([0]) { writer, _ in
                writer.object { writer in
                    writer.key("resource")
                    writer.object { writer in
                        writer.key("attributes")
                        writer.array([("service.name", "parley"), ("service.version", Parley.version)]) { $0.attribute($1.0, text: $1.1) }
                    }
                    writer.key("scopeSpans")
                    writer.array([0]) { writer, _ in
                        writer.object { writer in
                            writer.key("scope")
                            writer.object { $0.field("name", "parley") }
                            writer.key("spans")
                            writer.array(Array(spans)) { $0.value($1) }
                        }
                    }
                }
            }
        }
        return writer.bytes
    }

    static func spans(of report: ParcelReport) -> [JSONText] {
        let trace = hexadecimal(2)
        let (root, start) = (hexadecimal(1), report.receivedAt.microseconds * 1000)
        let end = start + report.total.nanoseconds
        var spans = [
            span(trace, root, "ingest", from: start, to: end) { writer in
                writer.attribute("parley.transport", text: report.transport.rawValue)
                writer.attribute("parley.lane", text: report.lane.rawValue)
                writer.attribute("parley.events", number: report.events)
                for name in Verdict.Name.allCases {
                    if let count = report.verdicts[name] { writer.attribute("parley.events.\(name.rawValue)", number: count) }
                }
            }
        ]
        if let admission = report.admission {
            let admitted = start + admission.nanoseconds
            spans.append(span(trace, hexadecimal(1), "admit", under: root, from: start, to: admitted) { _ in })
            spans.append(span(trace, hexadecimal(1), "commit", under: root, from: admitted, to: end) { _ in })
        }
        return spans
    }

    private static func span(
        _ trace: String, _ id: String, _ name: String, under parent: String? = nil, from start: Int64, to end: Int64,
        attributes: (inout JSONWriter) -> Void
    ) -> JSONText {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("traceId", trace)
            writer.field("spanId", id)
            writer.field(ifPresent: "parentSpanId", parent)
            writer.field("name", name)
            // SPAN_KIND_SERVER, SPAN_KIND_INTERNAL.
            writer.field("kind", parent == nil ? 2 : 1)
            // 64-bit numbers are strings in protobuf's JSON.
            writer.field("startTimeUnixNano", String(start))
            writer.field("endTimeUnixNano", String(max(start, end)))
            writer.key("attributes")
            writer.array { attributes(&$0) }
        }
        return JSONText(trusted: writer.bytes)
    }

    /// Trace IDs are 16 bytes, span IDs 8, and neither is all zeros (W3C Trace Context, section 3.2.2).
    private static func hexadecimal(_ words: Int) -> String {
        (0..<words).map { _ in
            let digits = String(UInt64.random(in: 1 ... .max), radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}

extension Duration {
    fileprivate var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}

extension JSONWriter {
    fileprivate mutating func attribute(_ name: String, text: String) {
        object { writer in
            writer.field("key", name)
            writer.key("value")
            writer.object { $0.field("stringValue", text) }
        }
    }

    fileprivate mutating func attribute(_ name: String, number: Int) {
        object { writer in
            writer.field("key", name)
            writer.key("value")
            writer.object { $0.field("intValue", String(number)) }
        }
    }
}
