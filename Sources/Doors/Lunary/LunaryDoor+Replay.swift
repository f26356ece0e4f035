import Events

/// Threads and their messages as Lunary's own read API gives them, for scripts written against it. Only what a replay needs:
/// `GET /v1/runs?type=thread`, `GET /v1/runs?type=chat&parentRunId=THREAD` and `GET /v1/runs/{id}/related`, with a secret key.
extension LunaryDoor {
    /// `{"page","limit","data":[run]}`.
    func runs(_ request: DoorRequest, at desk: any Desk) async throws(Refusal) -> Reply {
        try Self.checkLane(request)
        let limit = min(max(request.query["limit"].flatMap { Int($0) } ?? 50, 1), 100)
        // Pages are walked to: a hundred of them is as far as that goes.
        let page = min(max(request.query["page"].flatMap { Int($0) } ?? 0, 0), 100)
        let project = try await desk.project(nil, creating: false)
        let data: [JSONText]
        switch (request.query["type"], request.query["parentRunId"]) {
        case ("thread", _):
            data = try await threads(page: page, of: limit, in: project, at: desk)
        case ("chat", let thread?):
            guard let conversation = try await desk.conversation(thread, in: project) else { throw Refusal(.notFound, "Thread not found") }
            data = Array(try Self.reading(conversation) { Exchange.all(in: $0).map(\.run) }.dropFirst(page * limit).prefix(limit))
        default:
            throw Refusal(.badRequest, field: "type", "Runs are listed by type=thread, or by type=chat with parentRunId.")
        }
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("page", page)
            writer.field("limit", limit)
            writer.key("data")
            writer.array(data) { $0.value($1) }
        }
        return Reply(status: 200, body: writer.bytes)
    }

    /// A list of runs: the thread, its exchanges and all runs under them, or a run and all below it.
    func related(to id: String, for request: DoorRequest, at desk: any Desk) async throws(Refusal) -> Reply {
        try Self.checkLane(request)
        let project = try await desk.project(nil, creating: false)
        var list: [JSONText] = []
        if let conversation = try await desk.conversation(id, in: project) {
            list = try Self.reading(conversation) { json in
                let thread = json["thread"].map { [Self.thread($0)] } ?? []
                let exchanges = Exchange.all(in: json)
                var runs: [JSONText] = []
                json["items"]?.forEachElement { Self.append(treeIn: $0["runs"], to: &runs) }
                Self.append(treeIn: json["runs"], to: &runs)
                return thread + exchanges.map(\.run) + runs
            }
        } else if let run = try await desk.run(id, in: project) {
            list = try Self.reading(run) { json in
                var runs = [Self.run(json)]
                Self.append(treeIn: json["runs"], to: &runs)
                return runs
            }
        } else {
            throw Refusal(.notFound, "Run not found")
        }
        var writer = JSONWriter()
        writer.array(list) { $0.value($1) }
        return Reply(status: 200, body: writer.bytes)
    }

    static func checkLane(_ request: DoorRequest) throws(Refusal) {
        guard request.lane == .secret else { throw Refusal(.unauthorized, "This route requires a private API key.") }
    }

    private func threads(page: Int, of limit: Int, in project: Project, at desk: any Desk) async throws(Refusal) -> [JSONText] {
        var cursor: String?
        for _ in 0..<page {
            cursor = try await desk.threads(in: project, limit: limit, after: cursor).next
            guard cursor != nil else { return [] }
        }
        let found = try await desk.threads(in: project, limit: limit, after: cursor).threads
        var threads: [JSONText] = []
        for summary in found { threads.append(try Self.reading(summary) { Self.thread($0) }) }
        return threads
    }

    private static func reading<Result>(_ document: JSONText, _ read: (JSONValue) -> Result) throws(Refusal) -> Result {
        do {
            return try JSONDocument.read(document.bytes, isOurs: true) { read($0) }
        } catch {
            throw Refusal(.internal)
        }
    }

    // MARK: shapes

    private static func thread(_ json: JSONValue) -> JSONText {
        var run = ObjectText()
        run.set("id", json["id"].map { JSONText($0) })
        run.set("type", "thread")
        run.set("createdAt", json["firstAt"].map { JSONText($0) })
        run.set("endedAt", json["lastAt"].map { JSONText($0) })
        for name in ["tags", "metadata", "scores"] { run.set(name, json.member(name).map { JSONText($0) }) }
        run.set("messagesCount", json["messageCount"].map { JSONText($0) })
        run.set("user", user(json["user"]))
        if let first = json["firstMessage"], !first.isNull {
            var message = ObjectText()
            message.set("role", first["role"].map { JSONText($0) })
            message.set("content", first["text"].map { JSONText($0) })
            run.set("firstMessage", message.text)
            run.set("input", message.text)
        }
        return run.text ?? "{}"
    }

    private static func append(treeIn runs: JSONValue?, to list: inout [JSONText]) {
        runs?.forEachElement { json in
            list.append(run(json))
            append(treeIn: json["runs"], to: &list)
        }
    }

    private static func run(_ json: JSONValue) -> JSONText {
        var run = ObjectText()
        for name in ["id", "name", "input", "output", "error", "tags", "metadata", "endedAt", "cost", "scores"] {
            run.set(name, json.member(name).map { JSONText($0) })
        }
        let kind = json["kind"]?.string
        run.set("type", json["extra"]?["type"]?.string ?? (kind == "embedding" ? "embed" : kind))
        run.set("parentRunId", json["parent"].map { JSONText($0) })
        run.set("createdAt", (json["startedAt"]?.isNull == false ? json["startedAt"] : json["createdAt"]).map { JSONText($0) })
        run.set("status", json["success"]?.bool.map { $0 ? "success" : "error" })
        run.set("params", json["extra"]?["params"].map { JSONText($0) })
        run.set("user", user(json["user"]))
        if let usage = json["usage"], usage.kind == .object {
            let (prompt, completion) = (usage["inputTokens"]?.integer, usage["outputTokens"]?.integer)
            var writer = JSONWriter()
            writer.object { writer in
                writer.field(orNull: "prompt", prompt)
                writer.field(orNull: "completion", completion)
                writer.field(orNull: "cachedPrompt", usage["cachedTokens"]?.integer)
                writer.field("total", (prompt ?? 0) &+ (completion ?? 0))
            }
            run.set("tokens", JSONText(trusted: writer.bytes))
        }
        return run.text ?? "{}"
    }

    fileprivate static func user(_ json: JSONValue?) -> JSONText? {
        guard let json, let id = json["id"]?.string else { return nil }
        var user = ObjectText()
        user.set("id", id)
        user.set("externalId", id)
        user.set("props", json["props"].map { JSONText($0) })
        return user.text
    }
}

/// What Lunary calls a chat run: messages put in, and the answers to them.
private struct Exchange {
    var id: String
    var thread: String
    var user: JSONText?
    var input: [JSONText] = []
    var output: [JSONText] = []
    var createdAt: JSONText?
    var endedAt: JSONText?
    var feedback: JSONText?

    /// A new one begins with the first message that is put in after an answer.
    static func all(in conversation: JSONValue) -> [Exchange] {
        let thread = conversation["thread"]?["id"]?.string ?? ""
        var exchanges: [Exchange] = []
        conversation["items"]?.forEachElement { item in
            guard item["type"]?.string == "message" else { return }
            let role = item["role"]?.string ?? ""
            let isAnswer = role == "assistant" || role == "tool"
            if exchanges.isEmpty || !isAnswer && !exchanges[exchanges.count - 1].output.isEmpty {
                exchanges.append(Exchange(id: item["id"]?.string ?? "", thread: thread))
            }
            exchanges[exchanges.count - 1].add(item, isAnswer: isAnswer)
        }
        return exchanges
    }

    private mutating func add(_ item: JSONValue, isAnswer: Bool) {
        var message = ObjectText()
        for name in ["id", "role", "content"] { message.set(name, item.member(name).map { JSONText($0) }) }
        item["metadata"]?.forEachMember { key, value in
            if !key.equals("id"), !key.equals("content") { message.set(String(decoding: key, as: UTF8.self), JSONText(value)) }
        }
        if isAnswer { output += [message.text].compactMap { $0 } } else { input += [message.text].compactMap { $0 } }
        createdAt = createdAt ?? item["at"].map { JSONText($0) }
        endedAt = item["at"].map { JSONText($0) }
        user = user ?? LunaryDoor.user(item["user"])
        // Of several votes on an exchange the last is its feedback.
        item["feedback"]?["votes"]?.forEachElement { vote in
            var said = ObjectText()
            for name in ["thumb", "comment"] { said.set(name, vote.member(name).map { JSONText($0) }) }
            feedback = said.text
        }
    }

    var run: JSONText {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("id", id)
            writer.field("type", "chat")
            writer.field("parentRunId", thread)
            writer.field(orNull: "createdAt", createdAt)
            writer.field(orNull: "endedAt", endedAt)
            writer.key("input")
            writer.array(input) { $0.value($1) }
            writer.key("output")
            writer.array(output) { $0.value($1) }
            writer.field(orNull: "feedback", feedback)
            writer.field(orNull: "user", user)
        }
        return JSONText(trusted: writer.bytes)
    }
}

extension JSONValue {
    /// The member of that name, unless it is null.
    fileprivate func member(_ name: String) -> JSONValue? {
        var found: JSONValue?
        forEachMember { key, value in
            if !value.isNull, key.elementsEqual(name.utf8) { found = value }
        }
        return found
    }
}
