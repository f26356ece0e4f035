import Events
import Hummingbird
import NIOCore

/// The body did not come in whole; what the connection said of it.
struct BodyFailure: Error {
    var underlying: any Error
}

extension Request {
    /// Reads a JSON object from the body. Refuses one over `limit` bytes, or that is no JSON object.
    func readJSON<Result>(upTo limit: Int, _ read: (JSONValue) throws -> Result) async throws -> Result {
        let bytes: [UInt8]
        do {
            bytes = Array(buffer: try await body.collect(upTo: limit))
        } catch is NIOTooManyBytesError {
            throw Refusal(.bodyTooLarge, "The body is larger than the \(limit) bytes this address takes.")
        } catch {
            throw BodyFailure(underlying: error)
        }
        do {
            return try JSONDocument.read(bytes) { json in
                guard json.kind == .object else { throw Refusal(.badRequest, "The body must be a JSON object.") }
                return try read(json)
            }
        } catch let fault as JSONDocument.Fault {
            throw switch fault {
            case .malformed: Refusal(.malformedJSON)
            case .tooDeep: Refusal(.tooDeep)
            case .invalidUTF8: Refusal(.invalidUTF8)
            case .outOfMemory: Refusal(.overloaded)
            }
        }
    }
}

extension JSONValue {
    /// A list of strings, or a refusal that names the field.
    func strings(_ field: String) throws(Refusal) -> [String] {
        var list: [String] = []
        var isRight = kind == .array
        forEachElement { element in
            if let text = element.string { list.append(text) } else { isRight = false }
        }
        guard isRight else { throw Refusal(.badRequest, field: field, "The field `\(field)` must be a list of strings.") }
        return list
    }
}
