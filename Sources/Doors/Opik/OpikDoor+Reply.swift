public import Events

extension OpikDoor {
    /// 204, or 201 for a single record: a batch is all or nothing to the SDK, which can do nothing about an item that was set aside.
    /// What was set aside or ignored is told in `X-Opik-Deprecation`, which the SDK logs as a warning.
    public func reply(to verdicts: [Verdict], of parcel: Parcel, for request: DoorRequest) -> Reply {
        let refusals = verdicts.compactMap(\.refusal)
        if let overload = verdicts.lazy.compactMap({ if case .retry(let refusal) = $0 { refusal } else { nil } }).first {
            return Self.problem(overload)
        }
        // A key that may write none of it is told so; everything else would look like success.
        if let refusal = refusals.first, refusals.count == verdicts.count, refusal.reason.concernsKey { return Self.problem(refusal) }
        var notices = Self.notice(ofProjects: parcel.namedProjects, for: request)
        if let refusal = refusals.first {
            let field = refusal.field.map { " (\($0))" } ?? ""
            notices.append(
                "\(refusals.count) of \(verdicts.count) items were set aside, the first as \(refusal.reason.rawValue)\(field): "
                    + refusal.message)
        }
        var reply = Reply(status: 204).noting(notices)
        switch Route(request.entrance) {
        case .createTrace: reply = reply.created("traces/", refusals.isEmpty ? parcel.items.first?.id : nil)
        case .createSpan: reply = reply.created("spans/", refusals.isEmpty ? parcel.items.first?.id : nil)
        default: break
        }
        return reply
    }

    public func reply(to refusal: Refusal, at entrance: Entrance, contentType: String?) -> Reply { Self.problem(refusal) }

    /// Opik's two error shapes in one: `{"errors":[…],"code":…,"message":…,"details":…}`.
    ///
    /// What may succeed later is a 429 with both `RateLimit-Reset` and `Retry-After`: only then does the SDK keep its records
    /// (`429` without the former is lost after three attempts, and so is a `5xx`).
    static func problem(_ refusal: Refusal) -> Reply {
        let status =
            switch refusal.reason {
            case let reason where reason.isTemporary: 429
            case .missingField, .batchTooLarge: 422
            default: refusal.reason.httpStatus
            }
        let message = refusal.reason == .projectUnknown ? "Project not found" : refusal.message
        var reply = problem(status, message, details: refusal.field.map { "\(refusal.reason.rawValue): \($0)" } ?? refusal.reason.rawValue)
        if status == 429 {
            let seconds = max(1, Int(((refusal.retryAfterMilliseconds ?? 1000) + 999) / 1000))
            reply.retryAfterSeconds = seconds
            reply.headers["RateLimit-Reset"] = String(seconds)
        }
        return reply
    }

    static func problem(_ status: Int, _ message: String, details: String? = nil) -> Reply {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("errors", [message])
            writer.field("code", status)
            writer.field("message", message)
            writer.field(ifPresent: "details", details)
        }
        return Reply(status: status, body: writer.bytes)
    }

    /// A key of one project takes everything to that one; a sender who names another is told so.
    static func notice(ofProjects names: some Sequence<String>, for request: DoorRequest) -> [String] {
        guard let project = request.project else { return [] }
        let others = Set(names).subtracting([project, ParcelReader.defaultProject])
        guard let other = others.min() else { return [] }
        return [
            "project_name '\(other)' is ignored: the API key belongs to the project '\(project)'. A key of scope workspace may choose."
        ]
    }
}

extension Reply {
    /// Header values are one line of printable ASCII here, whatever is quoted in them (RFC 9110, section 5.5).
    func noting(_ notices: [String]) -> Reply {
        guard !notices.isEmpty else { return self }
        var reply = self
        let line = notices.joined(separator: " ").unicodeScalars.map { (0x20...0x7E).contains($0.value) ? Character($0) : "?" }
        reply.headers["X-Opik-Deprecation"] = String(line.prefix(1000))
        return reply
    }

    /// 201 with the address of what was made, relative to the one asked.
    fileprivate func created(_ folder: String, _ id: String?) -> Reply {
        var reply = self
        reply.status = 201
        if let id, let path = id.asPathSegment { reply.headers["Location"] = folder + path }
        return reply
    }
}

extension String {
    /// Where it needs no escaping in a path, as IDs don't.
    var asPathSegment: String? {
        let isPlain = utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "~"):
                true
            default: false
            }
        }
        return isPlain && !isEmpty ? self : nil
    }
}

extension Parcel {
    fileprivate var namedProjects: [String] {
        destinations.compactMap { if case .named(let name) = $0 { name } else { nil } }
    }
}

extension Reason {
    fileprivate var concernsKey: Bool {
        switch self {
        case .laneForbidden, .projectUnknown, .unauthorized, .unknownKey, .revokedKey, .expiredKey, .missingKey: true
        default: false
        }
    }
}
