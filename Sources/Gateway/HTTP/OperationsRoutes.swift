import Events
import HTTPTypes
import Hummingbird
import Ingest
import NIOCore

/// Where machines ask how we are: alive, taking traffic, and what was counted.
struct OperationsRoutes: Sendable {
    let standing: @Sendable () async -> Standing
    let ingest: Ingest
    let counters: Counters
    let draining: Draining
    let holdings: Holdings
    let places: Places
    let tls: TLSIdentity?

    static let paths = ["/healthz", "/readyz", "/metrics", ReasonsPage.path]

    func add(to router: Router<GatewayContext>) {
        for method in [HTTPRequest.Method.get, .head] {
            router.on("/healthz", method: method) { _, _ in Self.text("ok\n") }
            router.on("/readyz", method: method) { _, _ in
                if draining.hasBegun { return Refusal(.draining).response() }
                let standing = await standing()
                if standing.isReady { return Self.text("ready\n" + standing.text) }
                return Refusal(.storeUnavailable, standing.text.split(separator: "\n").joined(separator: "; ") + ".").response()
            }
            router.on("/metrics", method: method) { request, _ in
                // A proxy that keeps it from the world knows it by this name; the router would take others, like //metrics.
                guard request.uri.path == "/metrics" else { return Refusal(.notFound).response() }
                let now = Counters.Readings(
                    pressure: ingest.pressure, scrubbed: ingest.scrubbedByKind, held: (holdings.held, holdings.total),
                    places: places.counts,
                    commits: ingest.commitFigures, certificateEnds: tls?.notAfter, process: ProcessFigures(),
                    behind: await standing().metrics)
                return Self.text(counters.prometheusText(now), type: "text/plain; version=0.0.4; charset=utf-8")
            }
            router.on(RouterPath(ReasonsPage.path), method: method) { _, _ in ReasonsPage.response() }
        }
    }

    private static func text(_ text: String, type: String = "text/plain; charset=utf-8") -> Response {
        Response(status: .ok, headers: [.contentType: type], body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}
