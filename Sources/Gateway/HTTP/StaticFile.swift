import Gzip
public import Hummingbird
import HTTPTypes
import NIOCore

/// A file that is part of the program and that any page may load: the snippet.
public struct StaticFile: Sendable {
    public let path: String
    public let contentType: String
    public let cacheControl: String
    private let body: ByteBuffer
    /// The same with gzip, where that is less.
    private let zipped: ByteBuffer?
    private let etag: String

    /// Five minutes, so that a mended snippet reaches every page soon.
    public static let untilMended = "public, max-age=300, stale-while-revalidate=86400"

    public init(path: String, contentType: String, bytes: [UInt8], cacheControl: String = untilMended) {
        self.path = path
        self.contentType = contentType
        self.cacheControl = cacheControl
        body = ByteBuffer(bytes: bytes)
        zipped = Gzip.compressed(bytes).flatMap { $0.count < bytes.count ? ByteBuffer(bytes: $0) : nil }
        etag = "\"\(String(Self.fingerprint(of: bytes), radix: 16))-\(String(bytes.count, radix: 16))\""
    }

    public func add(to router: Router<GatewayContext>) {
        router.on(RouterPath(path), method: .get) { request, _ in respond(to: request) }
        router.on(RouterPath(path), method: .head) { request, _ in
            var response = respond(to: request)
            response.body = ResponseBody()
            return response
        }
    }

    func respond(to request: Request) -> Response {
        var headers: HTTPFields = [
            .eTag: etag, .cacheControl: cacheControl, .accessControlAllowOrigin: "*", .contentType: contentType,
            .crossOriginResourcePolicy: "cross-origin", .vary: "Accept-Encoding",
        ]
        if matches(request.headers[.ifNoneMatch]) {
            headers[.contentType] = nil
            return Response(status: .notModified, headers: headers)
        }
        var body = body
        if let zipped, Gzip.isAccepted(by: request.headers[.acceptEncoding]) {
            body = zipped
            headers[.contentEncoding] = "gzip"
            // Other bytes need another tag (RFC 9110, section 8.8.3.3).
            headers[.eTag] = String(etag.dropLast()) + "-gzip\""
        }
        headers[.contentLength] = String(body.readableBytes)
        return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: body))
    }

    /// RFC 9110, section 13.1.2: a list, compared weakly.
    private func matches(_ header: String?) -> Bool {
        guard let header else { return false }
        return header.split(separator: ",").contains { entry in
            var tag = String(entry.filter { $0 != " " })
            if tag.hasPrefix("W/") { tag.removeFirst(2) }
            return tag.replacing("-gzip\"", with: "\"") == etag || tag == "*"
        }
    }

    /// FNV-1a, 64 bits: told apart are versions of our own file, not what an adversary makes.
    private static func fingerprint(of bytes: [UInt8]) -> UInt64 {
        bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}

extension HTTPField.Name {
    fileprivate static let crossOriginResourcePolicy = HTTPField.Name("Cross-Origin-Resource-Policy")!
}
