import Events
import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1

extension Refusal {
    /// What it says where no door speaks for it.
    fileprivate var body: [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            writer.key("error")
            writer.object { writer in
                writer.field("code", reason.rawValue)
                writer.field("message", message)
                writer.field(ifPresent: "field", field)
                writer.field("temporary", reason.isTemporary)
                if let retryAfterMilliseconds { writer.field("retryAfterMs", retryAfterMilliseconds) }
                writer.field("doc", reason.documentation)
            }
        }
        return writer.bytes
    }

    /// The answer to a request that no door speaks for.
    func response(status: Int? = nil) -> Response {
        var response = Response(Reply(status: status ?? reason.httpStatus, body: body, retryAfterSeconds: retryAfterSeconds))
        if reason == .unauthorized { response.headers[.wwwAuthenticate] = "Bearer" }
        return response
    }

    /// Whole seconds for `Retry-After`, rounded up.
    var retryAfterSeconds: Int? { retryAfterMilliseconds.map { Int(($0 + 999) / 1000) } }
}

extension Response {
    init(_ reply: Reply) {
        self.init(status: HTTPResponse.Status(code: reply.status), body: ResponseBody(byteBuffer: ByteBuffer(bytes: reply.body)))
        headers[.contentType] = reply.contentType
        headers[.contentLength] = String(reply.body.count)
        if let seconds = reply.retryAfterSeconds { headers[.retryAfter] = String(seconds) }
        // No body goes with these (RFC 9110, section 15.3.5).
        if reply.status == 204 || reply.status == 304 { (headers[.contentType], headers[.contentLength]) = (nil, nil) }
        for (name, value) in reply.headers {
            if let name = HTTPField.Name(name) { headers[name] = value }
        }
    }
}

extension DoorRoute.Answer {
    init(_ refusal: Refusal) {
        let body = refusal.body
        self.init(
            status: HTTPResponseStatus(statusCode: refusal.reason.httpStatus),
            headers: ["Content-Type": "application/json", "Content-Length": String(body.count)], body: body)
    }
}
