import Events
import SwiftProtobuf

/// How a body is written: an answer is written the same way (OTLP specification, "OTLP/HTTP Response").
enum Form: Equatable {
    case json
    /// Under the media type it came with.
    case protobuf(String)

    /// nil for another content type.
    init?(contentType: String?) {
        let type = contentType?.prefix { $0 != ";" }.lowercased().filter { !$0.isWhitespace }
        switch type {
        case "application/json": self = .json
        case "application/x-protobuf", "application/protobuf": self = .protobuf(type ?? "")
        default: return nil
        }
    }

    var contentType: String {
        switch self {
        case .json: "application/json"
        case .protobuf(let type): type
        }
    }

    /// An answer to an export: empty, or how many spans were not taken and why (0 and a text: a warning).
    func answer(rejected: Int = 0, message: String = "") -> [UInt8] {
        switch self {
        case .json:
            var writer = JSONWriter()
            writer.object { writer in
                guard rejected > 0 || !message.isEmpty else { return }
                writer.key("partialSuccess")
                writer.object { writer in
                    // 64-bit numbers are texts in protobuf's JSON form.
                    if rejected > 0 { writer.field("rejectedSpans", String(rejected)) }
                    if !message.isEmpty { writer.field("errorMessage", message) }
                }
            }
            return writer.bytes
        case .protobuf:
            var answer = WireExportAnswer()
            if rejected > 0 || !message.isEmpty {
                answer.partialSuccess.rejectedSpans = Int64(rejected)
                answer.partialSuccess.errorMessage = message
            }
            return bytes(of: answer)
        }
    }

    /// A refusal of the whole body: google.rpc.Status.
    func status(_ message: String) -> [UInt8] {
        switch self {
        case .json:
            var writer = JSONWriter()
            writer.object { $0.field("message", message) }
            return writer.bytes
        case .protobuf:
            var status = WireRPCStatus()
            status.message = message
            return bytes(of: status)
        }
    }

    private func bytes(of message: some SwiftProtobuf.Message) -> [UInt8] {
        do {
            return try message.serializedBytes()
        } catch {
            preconditionFailure("a message without required fields can't be written: \(error)")
        }
    }
}
