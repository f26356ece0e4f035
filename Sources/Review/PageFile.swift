import Crypto
import Gzip
import HTTPTypes
import Hummingbird
import NIOCore

/// A file of the page, with the headers that keep a page full of strangers' words harmless.
struct PageFile: Sendable {
    let name: String
    private let body: ByteBuffer
    /// The same compressed, where that is smaller.
    private let packed: ByteBuffer?
    private let headers: HTTPFields
    private let tag: String

    init(_ name: String, _ bytes: [UInt8]) {
        self.name = name
        body = ByteBuffer(bytes: bytes)
        packed = Gzip.compressed(bytes).flatMap { $0.count < bytes.count ? ByteBuffer(bytes: $0) : nil }
        tag = "\"" + SHA256.hash(data: bytes).prefix(16).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "\""
        let own: HTTPFields = [
            .contentType: Self.contentType(of: name),
            .eTag: tag,
            .vary: "Accept-Encoding",
            // Kept, but asked about each time: a new binary shows at once.
            .cacheControl: "no-cache",
            .xContentTypeOptions: "nosniff",
            .crossOriginResourcePolicy: "same-origin",
        ]
        // What only a document obeys is not sent with each of two dozen modules.
        headers = name.hasSuffix(".html") ? own + Self.ofDocument : own
    }

    /// Only our own files run, nothing is loaded from elsewhere or framed, and no text becomes markup or script.
    private static let ofDocument: HTTPFields = [
        .contentSecurityPolicy: "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
        .referrerPolicy: "no-referrer",
        .frameOptions: "DENY",
        .crossOriginOpenerPolicy: "same-origin",
    ]

    func response(to request: Request) -> Response {
        if matches(request.headers[.ifNoneMatch]) {
            var headers = headers
            headers[.contentType] = nil
            return Response(status: .notModified, headers: headers)
        }
        guard let packed, Gzip.isAccepted(by: request.headers[.acceptEncoding]) else {
            return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: body))
        }
        var headers = headers
        headers[.contentEncoding] = "gzip"
        return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: packed))
    }

    /// RFC 9110, section 13.1.2: a list, compared weakly.
    private func matches(_ header: String?) -> Bool {
        guard let header else { return false }
        return header.split(separator: ",").contains { entry in
            let entry = entry.filter { $0 != " " }
            return entry == "*" || (entry.hasPrefix("W/") ? entry.dropFirst(2) : entry[...]) == tag
        }
    }

    private static func contentType(of name: String) -> String {
        switch name.split(separator: ".").last {
        case "html": "text/html; charset=utf-8"
        case "css": "text/css; charset=utf-8"
        case "js": "text/javascript; charset=utf-8"
        case "svg": "image/svg+xml"
        default: preconditionFailure("the page has a file of a kind without a content type: \(name)")
        }
    }
}

extension HTTPFields {
    fileprivate static func + (fields: HTTPFields, more: HTTPFields) -> HTTPFields {
        var fields = fields
        fields.append(contentsOf: more)
        return fields
    }
}

extension HTTPField.Name {
    fileprivate static let referrerPolicy = HTTPField.Name("Referrer-Policy")!
    fileprivate static let frameOptions = HTTPField.Name("X-Frame-Options")!
    fileprivate static let crossOriginOpenerPolicy = HTTPField.Name("Cross-Origin-Opener-Policy")!
}
