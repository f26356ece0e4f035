import Events
import HTTPTypes
import Hummingbird
import NIOCore

extension Response {
    /// An answer of the API: nothing sniffs it, shares it or keeps it.
    static func json(_ status: HTTPResponse.Status = .ok, _ write: (inout JSONWriter) -> Void) -> Response {
        var writer = JSONWriter()
        writer.object(write)
        return Response(
            status: status, headers: .api(contentType: "application/json"),
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: writer.bytes)))
    }

    static func refused(_ refusal: Refusal) -> Response {
        let reason = refusal.reason
        var response = json(HTTPResponse.Status(code: reason.httpStatus)) { writer in
            writer.key("error")
            writer.object { writer in
                writer.field("code", reason.rawValue)
                writer.field("message", refusal.message)
                writer.field(ifPresent: "field", refusal.field)
                writer.field("temporary", reason.isTemporary)
                if let wait = refusal.retryAfterMilliseconds { writer.field("retryAfterMs", wait) }
                writer.field("doc", reason.documentation)
            }
        }
        // Whole seconds, rounded up (RFC 9110, section 10.2.3).
        if let wait = refusal.retryAfterMilliseconds { response.headers[.retryAfter] = String((wait + 999) / 1000) }
        if reason.httpStatus == 401 { response.headers[.wwwAuthenticate] = "Bearer" }
        return response
    }
}

extension HTTPFields {
    /// What every answer with somebody's words in it carries.
    static func api(contentType: String) -> HTTPFields {
        [
            .contentType: contentType, .xContentTypeOptions: "nosniff", .cacheControl: "no-store",
            // No page of another origin may load an answer, not even as a script or an image (Fetch standard, 3.7).
            .crossOriginResourcePolicy: "same-origin",
        ]
    }
}

extension HTTPField.Name {
    static let crossOriginResourcePolicy = HTTPField.Name("Cross-Origin-Resource-Policy")!
}
