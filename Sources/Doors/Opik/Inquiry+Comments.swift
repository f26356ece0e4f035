import Events

/// Comments on threads, traces and spans.
///
/// Some addresses name a comment alone, so its ID tells what it is on: of a thread's the last group is the thread's number, of a run's
/// the run's ID stands in front.
extension Inquiry {
    func commentThread() async throws(Refusal) -> Reply {
        let text = try commentText()
        guard let (thread, project) = try await thread(ofModel: parameter) else { return .notFound("Thread '\(parameter)' not found") }
        let draft = draft(of: text, on: thread.id, thread: thread.id)
        let id = CommentID.onThread(thread.number, at: request.receivedAt, digest: DerivedID.digest(of: draft))
        return try await keep(draft, as: id, in: project, at: "comments/\(id)")
    }

    func commentRun(_ folder: String) async throws(Refusal) -> Reply {
        let text = try commentText()
        guard let project = try await desk.projectOfRun(parameter) else { return .notFound("\(folder) id: \(parameter) not found") }
        let draft = draft(of: text, on: parameter, thread: nil)
        let id = CommentID.onRun(parameter, digest: DerivedID.digest(of: draft))
        return try await keep(draft, as: id, in: project, at: "comments/\(id.asPathSegment ?? "")")
    }

    private func commentText() throws(Refusal) -> String {
        try reading(request.body) { json throws(Refusal) in
            guard let text = json.nonEmptyText("text") else { throw Refusal(.missingField, field: "text", "text is required.") }
            return text
        }
    }

    private func draft(of text: String, on target: String, thread: String?) -> Event {
        let comment = Event.Comment(target: target, text: text, author: ScoreRecord.defaultAuthor)
        return Event(id: "", thread: thread, at: request.receivedAt, body: .comment(comment))
    }

    private func keep(_ draft: Event, as id: String, in project: Project, at location: String) async throws(Refusal) -> Reply {
        var event = draft
        event.id = id
        try await write(event, to: project)
        return .made(id, at: location)
    }

    func threadComment() async throws(Refusal) -> Reply {
        let comments = try await thread(ofModel: parameter)?.thread.comments ?? []
        return comment(among: comments)
    }

    func runComment() async throws(Refusal) -> Reply {
        guard let project = try await desk.projectOfRun(parameter) else { return .notFound("Comment not found") }
        return comment(among: try await desk.run(parameter, in: project).flatMap { StoredRun($0) }?.comments ?? [])
    }

    private func comment(among comments: [StoredComment]) -> Reply {
        guard let comment = comments.first(where: { $0.id == request.parameters["comment"] }) else { return .notFound("Comment not found") }
        var writer = JSONWriter()
        writer.comment(comment)
        return Reply(status: 200, body: writer.bytes)
    }

    func updateComment() async throws(Refusal) -> Reply {
        let text = try commentText()
        let id = request.parameters["comment"] ?? ""
        guard let place = try await place(of: id) else { return .notFound("Comment not found") }
        try await change(id, at: place, to: text)
        return .done
    }

    /// Comments that are not there are as good as deleted.
    func deleteComments() async throws(Refusal) -> Reply {
        let ids = try reading(request.body) { json throws(Refusal) in
            _ = try ParcelReader.list(json, named: "ids")
            return json.texts("ids")
        }
        for id in ids {
            if let place = try await place(of: id) { try await change(id, at: place, to: nil) }
        }
        return .done
    }

    private struct Place {
        var project: Project
        var target: String
        var thread: String?
    }

    /// What a comment is on; nil where there is no such comment.
    private func place(of id: String) async throws(Refusal) -> Place? {
        if let run = CommentID.run(of: id) {
            guard let project = try await desk.projectOfRun(run),
                let stored = try await desk.run(run, in: project).flatMap({ StoredRun($0) }),
                stored.comments.contains(where: { $0.id == id })
            else { return nil }
            return Place(project: project, target: run)
        }
        guard let number = CommentID.thread(of: id), let found = try await desk.thread(number: number),
            let thread = try await thread(found.id, in: found.project), thread.comments.contains(where: { $0.id == id })
        else { return nil }
        return Place(project: found.project, target: found.id, thread: found.id)
    }

    private func change(_ id: String, at place: Place, to text: String?) async throws(Refusal) {
        let comment = Event.Comment(target: place.target, changes: id, text: text, author: ScoreRecord.defaultAuthor)
        let event = Event(id: "", thread: place.thread, at: request.receivedAt, body: .comment(comment))
        try await write(DerivedID.given(to: event), to: place.project)
    }
}

/// IDs of comments made here.
enum CommentID {
    /// A UUIDv7 (RFC 9562, section 5.7) of its time whose last 48 bits are the thread's number.
    static func onThread(_ number: Int64, at time: Timestamp, digest: [UInt8]) -> String {
        let milliseconds = UInt64(max(0, time.milliseconds)) & 0xFFFF_FFFF_FFFF
        var bytes = (0..<6).map { UInt8(truncatingIfNeeded: milliseconds >> (40 - 8 * UInt64($0))) }
        bytes += digest[0..<4]
        bytes += (0..<6).map { UInt8(truncatingIfNeeded: UInt64(bitPattern: number) >> (40 - 8 * UInt64($0))) }
        return DerivedID.uuid(version: 7, bytes)
    }

    static func thread(of id: String) -> Int64? {
        guard id.utf8.count == 36, let group = id.split(separator: "-").last, group.utf8.count == 12 else { return nil }
        return Int64(group, radix: 16)
    }

    /// The run's ID and 64 bits of what was said.
    static func onRun(_ run: String, digest: [UInt8]) -> String {
        run + "~" + digest[0..<8].map { DerivedID.hex(UInt64($0), digits: 2) }.joined()
    }

    static func run(of id: String) -> String? {
        guard let mark = id.lastIndex(of: "~"), id[mark...].utf8.count == 17 else { return nil }
        return String(id[..<mark])
    }
}
