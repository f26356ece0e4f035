import Conversations
import Events
import GRDB

/// Votes, scores and remarks, folded row by row as they come.
extension AppendTransaction {
    func keep(_ vote: Vote, thread hint: Int64?, project: ProjectID) throws {
        var vote = vote
        let standing = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT \(Vote.columns) FROM vote WHERE project = ? AND target = ? AND voter = ?"),
            arguments: [project.number, vote.target, vote.voter])
        if let standing { vote = Vote(standing).merged(with: vote) }
        let ofTarget = try Int64.fetchOne(
            db.cachedStatement(sql: "SELECT thread FROM event WHERE project = ? AND id = ? AND space = 0 AND part = x''"),
            arguments: [project.number, vote.target])
        try db.cachedStatement(
            sql: "INSERT OR REPLACE INTO vote (project, \(Vote.columns), thread) VALUES (?,?,?,?,?,?,?,?,?,?)"
        ).execute(arguments: [
            project.number, vote.target, vote.voter, vote.thumb.map { $0 == .up ? 1 : -1 }, vote.comment, vote.at.microseconds, vote.event,
            vote.commentAt.microseconds, vote.commentEvent,
            try ofTarget ?? hint ?? Targets(db: db, project: project).thread(ofJudged: vote.target),
        ])
    }

    func keep(_ score: Score, project: ProjectID) throws {
        let standing = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT at, event FROM score WHERE project = ? AND target = ? AND name = ? AND author = ?"),
            arguments: [project.number, score.target, score.name, score.author])
        if let standing, (Timestamp(microseconds: standing[0]), standing[1] as String) >= (score.at, score.event) { return }
        try db.cachedStatement(
            sql: """
                INSERT OR REPLACE INTO score (project, target, name, author, value, category, reason, at, event, judge, thread)
                VALUES (?,?,?,?,?,?,?,?,?,?,?)
                """
        ).execute(arguments: [
            project.number, score.target, score.name, score.author, score.value, score.category, score.reason, score.at.microseconds,
            score.event, score.judge.rawValue,
            threads.knownNumber(of: score.target, in: project) ?? Targets(db: db, project: project).thread(ofJudged: score.target),
        ])
    }

    /// A remark and what changes it may come in any order; the last word counts.
    func keep(_ comment: Event.Comment, id: String, at: Timestamp, project: ProjectID) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO comment VALUES (?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET at = min(at, excluded.at),
                    author = CASE WHEN excluded.at < at THEN coalesce(excluded.author, author) ELSE coalesce(author, excluded.author) END,
                    text = CASE WHEN (excluded.changed_at, excluded.event) > (changed_at, event) THEN excluded.text ELSE text END,
                    event = CASE WHEN (excluded.changed_at, excluded.event) > (changed_at, event) THEN excluded.event ELSE event END,
                    changed_at = max(changed_at, excluded.changed_at)
                """
        ).execute(arguments: [
            project.number, comment.changes ?? id, comment.target, comment.text, comment.author, at.microseconds, at.microseconds, id,
        ])
    }
}

extension Vote {
    static let columns = "target, voter, thumb, comment, at, event, comment_at, comment_event"

    init(_ row: Row) {
        self.init(
            target: row[0], voter: row[1], thumb: (row[2] as Int?).map { $0 > 0 ? .up : .down }, comment: row[3],
            at: Timestamp(microseconds: row[4]), event: row[5], commentAt: (row[6] as Int64?).map { Timestamp(microseconds: $0) },
            commentEvent: row[7])
    }
}
