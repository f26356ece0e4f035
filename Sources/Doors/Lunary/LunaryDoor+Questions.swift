public import Events

extension LunaryDoor {
    public func answer(_ request: DoorRequest, at desk: any Desk) async throws(Refusal) -> Reply {
        switch request.entrance {
        case Self.feedback: return try await feedback(on: request.parameters["id"] ?? "", at: desk, from: request.lane)
        case Self.score: return try await score(request, at: desk)
        case Self.runs: return try await runs(request, at: desk)
        case Self.related: return try await related(to: request.parameters["id"] ?? "", for: request, at: desk)
        case Self.template, Self.templates: throw Refusal(.notFound, "Templates are not kept here.")
        case Self.dataset: throw Refusal(.notFound, "Datasets are not kept here.")
        case Self.evaluation: throw Refusal(.notFound, "Evaluations are not run here.")
        default: throw Refusal(.notFound)
        }
    }

    /// `{"thumb":"up"|"down"|null,"comment"?}` or null: the latest vote on a message or run, for any key of its project.
    ///
    /// A page asks what its visitor has voted, with a key that everybody has and the ID of a message that hardly anybody knows. It learns
    /// nothing of reviewers, nor whether there is such an ID.
    private func feedback(on id: String, at desk: any Desk, from lane: Lane) async throws(Refusal) -> Reply {
        let project = try await desk.project(nil, creating: false)
        guard let summary = try await desk.feedback(on: id, in: project) else {
            if lane == .public { return Reply(status: 200, body: Array("null".utf8)) }
            throw Refusal(.notFound, "There is no such message or run.")
        }
        var writer = JSONWriter()
        do {
            try JSONDocument.read(summary.bytes, isOurs: true) { writer.latestVote(in: $0["votes"], withReviewers: lane == .secret) }
        } catch {
            throw Refusal(.internal)
        }
        return Reply(status: 200, body: writer.bytes)
    }

    /// `{"label","value","comment"?}` on a message, run or thread; a number or flag is a value, a text a category.
    private func score(_ request: DoorRequest, at desk: any Desk) async throws(Refusal) -> Reply {
        try Self.checkLane(request)
        let target = request.parameters["id"] ?? ""
        let event: Event
        do {
            event = try JSONDocument.read(request.body, tolerant: true) { try Self.score($0, on: target, at: request.receivedAt).fitted() }
        } catch {
            throw error as? Refusal ?? Self.refusal(of: error)
        }
        let project = try await desk.project(nil, creating: false)
        let verdict = await desk.write([.event(event)], to: project).first ?? .retry(Refusal(.internal))
        if let refusal = verdict.refusal { throw refusal }
        return Reply(status: 200, body: Array(#"{"success":true}"#.utf8))
    }

    private static func score(_ json: JSONValue, on target: String, at time: Timestamp) throws(Refusal) -> Event {
        guard json.kind == .object else { throw Refusal(.badRequest, "The body is an object with label and value.") }
        var members = Members(json)
        guard let label = members.text("label") else { throw Refusal(.missingField, field: "label", "label is required.") }
        var score = Event.Score(target: target, name: label)
        if let value = members.take("value") {
            score.value = value.double ?? value.bool.map { $0 ? 1 : 0 }
            score.category = value.string
        }
        guard score.value != nil || score.category?.isEmpty == false else {
            throw Refusal(.missingField, field: "value", "value is required: a number, a text, true or false.")
        }
        score.reason = members.text("comment")
        // The time is part of it: a value said again after another one is news.
        let id = DerivedID.own("score", Array("\(target)\0\(time)\0".utf8) + JSONText(json).canonical)
        return Event(id: id, at: time, body: .score(score))
    }
}

extension JSONWriter {
    fileprivate mutating func latestVote(in votes: JSONValue?, withReviewers: Bool) {
        var latest: (at: Timestamp, vote: JSONValue)?
        votes?.forEachElement { vote in
            guard withReviewers || vote["by"]?.string != "reviewer" else { return }
            let at = vote["at"].flatMap { Timestamp($0) } ?? Timestamp(microseconds: 0)
            if latest.map({ $0.at <= at }) ?? true { latest = (at, vote) }
        }
        guard let vote = latest?.vote else { return null() }
        object { writer in
            writer.field(orNull: "thumb", vote["thumb"]?.string)
            writer.field(ifPresent: "comment", vote["comment"]?.string)
        }
    }
}
