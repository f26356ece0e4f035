public import Events

extension OpikDoor {
    public func answer(_ request: DoorRequest, at desk: any Desk) async throws(Refusal) -> Reply {
        guard let route = Route(request.entrance) else { throw Refusal(.notFound) }
        switch route {
        // The SDK holds everything back until this is 200, and asks for no key here.
        case .ping: return Reply(status: 200, body: Array(#"{"healthy":true}"#.utf8))
        case .sessionRedirect: return Reply(status: 302, headers: ["Location": "/ui/"])
        default: break
        }
        // A public key is in every page: nothing is read or changed with it.
        guard request.lane == .secret else {
            throw Refusal(.laneForbidden, "A public key can't be used with this API; use the project's secret key.")
        }
        return try await Inquiry(request: request, desk: desk).answer(route)
    }
}

/// One question, or one change that has to look first.
struct Inquiry {
    let request: DoorRequest
    let desk: any Desk

    func answer(_ route: Route) async throws(Refusal) -> Reply {
        switch route {
        case .scoreTrace, .scoreSpan: try await scoreRun()
        case .unscoreTrace, .unscoreSpan: try await unscoreRun()
        case .updateTraces: try await updateRuns(.trace)
        case .updateSpans: try await updateRuns(.span)

        case .searchThreads: try await searchThreads()
        case .retrieveThread: try await retrieveThread()
        case .closeThreads: try await setStatus(.inactive)
        case .openThreads: try await setStatus(.active)
        case .scoreThreads: try await scoreThreads()
        case .unscoreThread: try await unscoreThread()
        case .threadScoreNames: try await threadScoreNames()
        case .listThreads: try await listThreads()
        case .threadStats: try await threadStats()
        case .updateThread: try await updateThread()
        case .updateThreads: try await updateThreads()

        case .commentThread: try await commentThread()
        case .commentTrace: try await commentRun("traces")
        case .commentSpan: try await commentRun("spans")
        case .threadComment: try await threadComment()
        case .traceComment, .spanComment: try await runComment()
        case .updateThreadComment, .updateTraceComment, .updateSpanComment: try await updateComment()
        case .deleteThreadComments, .deleteTraceComments, .deleteSpanComments: try await deleteComments()

        case .searchTraces: try await searchRuns(.trace)
        case .searchSpans: try await searchRuns(.span)
        case .listTraces: try await listRuns(.trace)
        case .listSpans: try await listRuns(.span)
        case .trace: try await run(.trace)
        case .span: try await run(.span)
        case .traceStats: try await traceStats()
        case .traceScoreNames: try await traceScoreNames()

        case .createQueue: try await createQueue()
        case .listQueues: try await listQueues()
        case .queue: try await queue()
        case .updateQueue: try await updateQueue()
        case .deleteQueues: try await deleteQueues()
        case .deleteProject: try await deleteProject()
        case .addToQueue: try await changeItems(.add)
        case .removeFromQueue: try await changeItems(.remove)

        case .listProjects: try await listProjects()
        case .project: try await project()
        case .retrieveProject: try await retrieveProject()
        case .createProject: try await createProject()
        case .auth: .done
        case .workspace: .json { $0.field("workspace_name", "default") }
        case .accountDetails:
            .json { writer in
                writer.field("userName", ScoreRecord.defaultAuthor)
                writer.field("defaultWorkspaceName", "default")
            }
        case .workspaces: .json { $0.field("workspaceNames", ["default"]) }

        case .deleteTraces, .deleteTrace, .deleteSpan, .deleteThreads:
            OpikDoor.problem(501, "Traces and threads can't be deleted over this API: what is recorded stays.")
        case .startUpload, .completeUpload, .listAttachments:
            OpikDoor.problem(
                404,
                "Attachments are not kept. Set OPIK_IS_ATTACHMENT_EXTRACTION_ACTIVE=false and the SDK leaves large inputs as they are.")
        default: throw Refusal(.notFound)
        }
    }

    // MARK: what several questions need

    var parameter: String { request.parameters["id"] ?? "" }

    /// The project a body or query means, by `project_id` or `project_name`.
    func project(id: String?, name: String?, creating: Bool = false) async throws(Refusal) -> Project {
        try await desk.project(id ?? name, creating: creating)
    }

    func projectOfQuery() async throws(Refusal) -> Project {
        try await project(id: request.query["project_id"], name: request.query["project_name"])
    }

    /// The project of a run, or the key's own: a score may come before what it scores.
    func projectOfRun(_ id: String) async throws(Refusal) -> Project {
        if let project = try await desk.projectOfRun(id) { return project }
        return try await desk.project(nil, creating: false)
    }

    /// Writes; what may succeed later is thrown, so that the SDK tries again.
    func write(_ items: [Parcel.Item], to project: Project) async throws(Refusal) -> [Verdict] {
        guard !items.isEmpty else { return [] }
        let verdicts = await desk.write(items, to: project)
        for case .retry(let refusal) in verdicts { throw refusal }
        return verdicts
    }

    /// Writes one event that must be taken; what it is refused for is thrown.
    func write(_ event: Event, to project: Project) async throws(Refusal) {
        if let refusal = try await write([.event(try event.fitted())], to: project).first?.refusal { throw refusal }
    }

    func queues(of project: Project) async throws(Refusal) -> [Queue] {
        Queue.fold(try await desk.events(ofType: Queue.eventType, in: project), of: project)
    }

    func noted(_ reply: Reply, projects names: [String]) -> Reply { reply.noting(OpikDoor.notice(ofProjects: names, for: request)) }
}

extension Reply {
    static var done: Reply { Reply(status: 204) }

    /// An object.
    static func json(status: Int = 200, _ write: (inout JSONWriter) -> Void) -> Reply {
        var writer = JSONWriter()
        writer.object(write)
        return Reply(status: status, body: writer.bytes)
    }

    static func notFound(_ message: String) -> Reply { OpikDoor.problem(404, message) }

    /// 201 for a thing of that ID, at an address relative to the one asked.
    static func made(_ id: String, at location: String) -> Reply {
        var reply = Reply.json(status: 201) { $0.field("id", id) }
        reply.headers["Location"] = location
        return reply
    }

    /// Lines of JSON, as the SDK's streams read them.
    static func lines(_ bytes: [UInt8]) -> Reply { Reply(status: 200, contentType: "application/octet-stream", body: bytes) }
}
