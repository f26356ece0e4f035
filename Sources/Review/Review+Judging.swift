import Conversations
import Events
import HTTPTypes
import Hummingbird

// What people say of conversations. Each becomes an event like any other, written through ingest, so that history stays and every
// store folds it the same way.
extension Review {
    /// `PATCH /v1/threads/{id}`: status, tags, and whether it was reviewed.
    @Sendable func changeThread(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let (project, reader) = try await entry(of: request, Query(request), atLeast: .reviewer)
        let change = try await request.readJSON(upTo: 64 << 10, ThreadChange.init)
        let thread = try await existing(thread: parameters.id, in: project)
        var events: [Event] = []
        // In events of their own: an event that sets a status is no activity of the thread, nor is one that only sets tags.
        if let status = change.status {
            events.append(event(.thread(Event.ThreadPatch(status: status)), thread: thread))
        }
        if !change.add.isEmpty || !change.remove.isEmpty {
            events.append(event(.thread(Event.ThreadPatch(tags: change.add, untag: change.remove)), thread: thread))
        }
        guard !events.isEmpty || change.isReviewed != nil else {
            throw Refusal(.badRequest, "The body must have `status`, `tags` or `reviewed`.")
        }
        let verdicts = events.isEmpty ? [] : try await write(events, by: reader, to: project)
        if let isReviewed = change.isReviewed {
            _ = try await store.markReviewed(
                thread, by: reader.author(change.author), at: isReviewed ? clock.now() : nil, in: project.number)
        }
        return results(zip(events, verdicts))
    }

    /// `POST /v1/threads/{id}/seen`: the signed-in person has seen it up to now.
    @Sendable func markSeen(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let (project, reader) = try await entry(of: request, Query(request))
        guard let member = reader.member else { throw Refusal(.unauthorized, "Only a signed-in person sees; a key doesn't.") }
        try await store.markSeen(parameters.id, by: member.id, at: clock.now(), in: project.number)
        return Response(status: .noContent, headers: [.cacheControl: "no-store"])
    }

    /// `PUT /v1/messages/{id}/feedback`: a reviewer's own vote.
    @Sendable func vote(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let (project, reader) = try await entry(of: request, Query(request), atLeast: .reviewer)
        let id = parameters.id
        let (vote, author) = try await request.readJSON(upTo: 64 << 10) { json -> (Event.Feedback, String?) in
            var feedback = Event.Feedback(target: id, thumb: nil)
            let (thumb, comment) = (json["thumb"], json["comment"])
            guard thumb != nil || comment != nil else {
                throw Refusal(.badRequest, field: "thumb", "The body must have `thumb` or `comment`.")
            }
            if let thumb, !thumb.isNull {
                guard let known = thumb.string.flatMap({ Event.Thumb(rawValue: $0) }) else {
                    throw Refusal(.badRequest, field: "thumb", "The field `thumb` must be up, down or null.")
                }
                feedback.thumb = known
            }
            if let comment, !comment.isNull { feedback.comment = try comment.text("comment", upTo: Self.remarkCharacters) }
            feedback.leaves = thumb == nil ? .thumb : comment == nil ? .comment : nil
            return (feedback, try json.author())
        }
        var feedback = vote
        feedback.author = reader.author(author)
        let thread = try await thread(ofTarget: id, in: project)
        return try await written(event(.feedback(feedback), thread: thread), by: reader, to: project)
    }

    /// `POST /v1/scores`: a named judgement of a thread, message or run.
    @Sendable func score(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let (project, reader) = try await entry(of: request, Query(request), atLeast: .reviewer)
        let (given, author, judge) = try await request.readJSON(upTo: 64 << 10) { json in
            var score = Event.Score(
                target: try json.required("target", upTo: 128), name: try json.required("name", upTo: Self.nameCharacters))
            if let value = json["value"], !value.isNull {
                guard let number = value.double, number.isFinite else {
                    throw Refusal(.badRequest, field: "value", "The field `value` must be a number.")
                }
                score.value = number
            }
            score.category = try json.optional("category", upTo: Self.nameCharacters)
            score.reason = try json.optional("reason", upTo: Self.remarkCharacters)
            guard score.value != nil || score.category != nil else {
                throw Refusal(.badRequest, field: "value", "A score needs a `value` or a `category`; DELETE takes one back.")
            }
            return (score, try json.author(), json["judge"]?.string)
        }
        var score = given
        score.author = reader.author(author)
        // A person speaks for themselves; a key says for whom.
        score.judge = reader.member != nil || judge == Event.Score.Judge.person.rawValue ? .person : .program
        let thread = try await thread(ofTarget: score.target, in: project)
        return try await written(event(.score(score), thread: thread), by: reader, to: project)
    }

    /// `DELETE /v1/scores?target=…&name=…`: takes one's own back.
    @Sendable func removeScore(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let query = Query(request)
        let (project, reader) = try await entry(of: request, query, atLeast: .reviewer)
        guard let target = query["target"], let name = query["name"] else {
            throw Refusal(.badRequest, field: "target", "The parameters `target` and `name` must be there.")
        }
        let score = Event.Score(
            target: target, name: name, author: reader.author(query["author"]), judge: reader.member != nil ? .person : .program)
        let thread = try await thread(ofTarget: target, in: project)
        return try await written(event(.score(score), thread: thread), by: reader, to: project)
    }

    /// `POST /v1/comments`: a remark on a thread, message or run, or on a remark.
    @Sendable func comment(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let (project, reader) = try await entry(of: request, Query(request), atLeast: .reviewer)
        let (target, text, author) = try await request.readJSON(upTo: 128 << 10) { json in
            (try json.required("target", upTo: 128), try json.required("text", upTo: Self.remarkCharacters), try json.author())
        }
        let thread = try await thread(ofTarget: target, in: project)
        return try await written(
            event(.comment(Event.Comment(target: target, text: text, author: reader.author(author))), thread: thread), by: reader,
            to: project)
    }

    /// `PATCH /v1/comments/{id}`: other words for one's own remark.
    @Sendable func changeComment(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let (text, named) = try await request.readJSON(upTo: 128 << 10) {
            (try $0.required("text", upTo: Self.remarkCharacters), try $0.author())
        }
        return try await changeComment(request, parameters.id, to: text, named: named)
    }

    /// `DELETE /v1/comments/{id}`.
    @Sendable func removeComment(_ request: Request, _ parameters: Parameters) async throws -> Response {
        try await changeComment(request, parameters.id, to: nil, named: Query(request)["author"])
    }

    private func changeComment(_ request: Request, _ id: String, to text: String?, named: String?) async throws -> Response {
        let (project, reader) = try await entry(of: request, Query(request), atLeast: .reviewer)
        guard let author = try await store.authorOfComment(id, in: project.number) else {
            throw Refusal(.notFound, "There is no comment of that ID in this project.")
        }
        let mayAll = text == nil && reader.role == .admin
        guard mayAll || author == reader.author(named) else {
            throw Refusal(.roleForbidden, "This comment is somebody else's; an admin may remove it.")
        }
        let thread = try await thread(ofTarget: id, in: project)
        let change = Event.Comment(target: id, changes: id, text: text, author: author)
        return try await written(event(.comment(change), thread: thread), by: reader, to: project)
    }

    /// `GET /v1/score-names`: what scores are called here; `quality` always, so that the first one needs no set-up.
    @Sendable func scoreNames(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let project = try await project(of: request, Query(request))
        var names = try await store.scoreNames(in: project.number)
        if !names.contains(where: { $0.name == "quality" }) { names.append((name: "quality", count: 0)) }
        return .json { writer in
            writer.key("names")
            writer.array(names) { writer, entry in
                writer.object {
                    $0.field("name", entry.name); $0.field("count", entry.count)
                }
            }
        }
    }

    /// `GET /v1/tags`.
    @Sendable func tags(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let project = try await project(of: request, Query(request))
        let tags = try await store.tags(in: project.number)
        return .json { writer in
            writer.key("tags")
            writer.array(tags) { writer, entry in
                writer.object {
                    $0.field("tag", entry.tag); $0.field("count", entry.count)
                }
            }
        }
    }

    // MARK: pieces

    /// As long as what people type into a field; a document belongs elsewhere.
    static let remarkCharacters = 10_000
    static let nameCharacters = 200

    func event(_ body: Event.Body, thread: String?) -> Event {
        Event(id: "rev_" + Ticket().text.prefix(22), thread: thread, at: clock.now(), body: body)
    }

    private func existing(thread id: String, in project: Project) async throws -> String {
        guard let thread = try await store.threadOf(target: id, in: project.number) else {
            throw Refusal(.notFound, "There is no thread of that ID in this project.")
        }
        return thread
    }

    private func thread(ofTarget id: String, in project: Project) async throws -> String {
        guard let thread = try await store.threadOf(target: id, in: project.number) else {
            throw Refusal(.notFound, field: "target", "There is no thread, message or run of that ID in a conversation of this project.")
        }
        return thread
    }

    private func write(_ events: [Event], by reader: Reader, to project: Project) async throws -> [Verdict] {
        let verdicts = await office.write(events, by: reader.record, to: project)
        for case let refusal? in verdicts.map(\.refusal) { throw refusal }
        return verdicts
    }

    private func written(_ event: Event, by reader: Reader, to project: Project) async throws -> Response {
        results(zip([event], try await write([event], by: reader, to: project)))
    }

    private func results(_ results: some Sequence<(Event, Verdict)>) -> Response {
        .json { writer in
            writer.key("results")
            writer.array(results) { writer, result in
                writer.object {
                    $0.field("id", result.0.id); $0.field("verdict", result.1.name.rawValue)
                }
            }
        }
    }
}

/// What is said of a thread; whatever is absent stays.
private struct ThreadChange {
    var status: Event.ThreadPatch.Status?
    var add: [String] = []
    var remove: [String] = []
    var isReviewed: Bool?
    var author: String?

    init(_ json: JSONValue) throws(Refusal) {
        author = try json.author()
        if let value = json["status"] {
            guard let status = value.string.flatMap({ Event.ThreadPatch.Status(rawValue: $0) }) else {
                throw Refusal(.badRequest, field: "status", "The field `status` must be active or inactive.")
            }
            self.status = status
        }
        if let tags = json["tags"] {
            guard tags.kind == .object else {
                throw Refusal(.badRequest, field: "tags", "The field `tags` must be an object with `add` and `remove`.")
            }
            add = try tags["add"]?.strings("tags.add") ?? []
            remove = try tags["remove"]?.strings("tags.remove") ?? []
            for tag in add + remove where !(1...Event.Bounds.tag).contains(tag.unicodeScalars.count) || tag.utf8.contains(0) {
                throw Refusal(.badRequest, field: "tags", "A tag has 1 to \(Event.Bounds.tag) characters.")
            }
            guard add.count + remove.count <= Event.Bounds.tags else {
                throw Refusal(.badRequest, field: "tags", "At most \(Event.Bounds.tags) tags at once.")
            }
        }
        if let value = json["reviewed"] {
            guard let flag = value.bool else {
                throw Refusal(.badRequest, field: "reviewed", "The field `reviewed` must be true or false.")
            }
            isReviewed = flag
        }
    }
}

extension JSONValue {
    /// In whose name a key judges.
    fileprivate func author() throws(Refusal) -> String? { try optional("author", upTo: 80) }

    fileprivate func optional(_ name: String, upTo most: Int) throws(Refusal) -> String? {
        guard let value = member(name), !value.isNull else { return nil }
        return try value.text(name, upTo: most)
    }

    fileprivate func required(_ name: String, upTo most: Int) throws(Refusal) -> String {
        guard let text = try optional(name, upTo: most) else {
            throw Refusal(.badRequest, field: name, "The field `\(name)` must be there.")
        }
        return text
    }

    func text(_ field: String, upTo most: Int) throws(Refusal) -> String {
        guard let text = string, (1...most).contains(text.unicodeScalars.count), !text.utf8.contains(0) else {
            throw Refusal(.badRequest, field: field, "The field `\(field)` must be a text of 1 to \(most) characters.")
        }
        return text
    }
}
