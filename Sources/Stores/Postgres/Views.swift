import Conversations
import Events

extension PostgresStore {
    /// Some threads to choose from: one that goes on and on keeps none of the others waiting.
    static let nextUnviewed = "SELECT project, number, id FROM thread WHERE turns AND view IS NULL LIMIT 16"
    static let hasNewer = """
        SELECT 1 FROM event e LEFT JOIN run r ON r.project = e.project AND r.id = e.id AND e.space = 1
        WHERE e.project = $1 AND e.sequence > $3 AND (e.thread = $2 OR r.thread = $2) LIMIT 1
        """

    /// Reads the next thread with turns whole, beside the appends; answers whether there was one, nil where it is another's turn.
    func viewNext(waits: Bool = false) async throws -> Bool? {
        try await derive(waits: waits) { db, end in
            guard let row = try db.fetchAll(Self.nextUnviewed).randomElement() else { return false }
            let project = ProjectID(row[0])
            let number: Int64 = row[1]
            let reader = ConversationReader(db: db, project: project)
            guard let (_, summary) = try reader.summary(of: row[2]) else { return false }
            let conversation = try reader.wholeConversation(summary)
            // What came in the meantime is not in it, or not all of it: seen by the next who looks.
            var pipeline = Pipeline()
            pipeline.lock([project])
            let newer = pipeline.add(Self.hasNewer, [project.number, number, end])
            guard try db.run(pipeline)[newer].isEmpty else { return false }
            let update = "UPDATE thread SET view = $3 WHERE project = $1 AND number = $2 AND view IS NULL"
            guard try db.execute(update, [project.number, number, TurnView(conversation.thread).stored]) > 0 else { return false }
            try Self.keepFacts(of: conversation, thread: number, in: project, db)
            return true
        }
    }

    private static func keepFacts(of conversation: Conversation, thread: Int64, in project: ProjectID, _ db: Database) throws {
        var facts: [(kind: FactKind, subject: String)] = conversation.looseRuns.map { (.orphan, $0.run.id) }
        var added = FigureFold()
        for item in conversation.items {
            if item.derivedFrom != nil { added.add(.messages, 1, at: item.at) }
            switch item.confirmation {
            case .confirmed?: facts.append((.confirmed, item.event.id))
            case .differs?: facts.append((.differs, item.event.id))
            case nil: break
            }
        }
        var figures = FigureRows(project)
        try figures.replace([("t:\(thread)", added.values)], db)
        var pipeline = Pipeline()
        pipeline.add(
            "DELETE FROM fact WHERE project = $1 AND kind = ANY($2) AND thread = $3",
            [project.number, FactKind.ofViews.map(\.rawValue), thread])
        if !facts.isEmpty {
            pipeline.add(
                """
                INSERT INTO fact (project, kind, thread, subject)
                SELECT $1, kind, $2, subject FROM unnest($3::bigint[], $4::text[]) AS new(kind, subject) ON CONFLICT DO NOTHING
                """, [project.number, thread, facts.map(\.kind.rawValue), facts.map(\.subject)])
        }
        figures.write(&pipeline)
        try db.commit(with: pipeline)
    }
}
