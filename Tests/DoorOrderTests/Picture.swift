import Conversations
import Events
import SQLiteStore

/// All that a project reads like, without what may differ between orders: the numbers of threads, and when things were received.
///
/// What no sender timed has the time of its arrival and keeps the order of its batch by microseconds (P-TIME-3): such times are cut to
/// their second, which is the request's.
struct Picture: Sendable, Equatable {
    var list: [ThreadSummary]
    var conversations: [Conversation]
    /// Every run by itself, and the message it comes from.
    var runs: [RunNode]
    var messages: [String: String]
    var pending: Int
    var quarantine: [Reason: Int]
    var refusals: Set<Reason>

    init(of project: Project, in store: SQLiteStore, refusals: Set<Reason>) async throws {
        let now = Capture.noon.advanced(bySeconds: 3600)
        self.refusals = refusals
        list = try await store.threads(in: project, matching: ThreadFilter(), limit: 1000, after: nil, now: now).items
        list.sort { $0.id < $1.id }
        conversations = []
        for thread in list {
            if let found = try await store.conversation(thread.id, in: project, limit: 5000, after: nil, now: now) {
                conversations.append(found)
            }
        }
        runs = try await store.runs(in: project.number, matching: RunFilter(), limit: 5000)
        messages = [:]
        for node in runs { messages[node.run.id] = try await store.run(node.run.id, in: project.number)?.message }
        pending = try await store.pendingLinks(in: project.number)
        quarantine = try await store.quarantineCounts(in: project.number)
        list = list.map(\.settled)
        conversations = conversations.map { conversation in
            var conversation = conversation
            conversation.thread = conversation.thread.settled
            conversation.items = conversation.items.map(\.settled)
            conversation.looseRuns = conversation.looseRuns.map(\.settled)
            return conversation
        }
        runs = runs.map(\.settled)
    }

    /// Where two pictures differ, a line each; the paths of one stand against those of the other.
    func differences(from other: Picture) -> [String] {
        let (mine, theirs) = (Self.lines(self), Self.lines(other))
        return Set(mine.keys).union(theirs.keys).sorted().compactMap { path in
            mine[path] == theirs[path] ? nil : "\(path): \(mine[path] ?? "-"), not \(theirs[path] ?? "-")"
        }
    }

    private static func lines(_ value: Any) -> [String: String] {
        var lines: [String: String] = [:]
        func add(_ value: Any, _ path: String) {
            switch value {
            case let text as JSONText: lines[path] = text.string
            case let time as Timestamp: lines[path] = time.description
            case let text as String: lines[path] = text
            case let texts as [String: String]: for (key, text) in texts { lines[path + "." + key] = text }
            default:
                let mirror = Mirror(reflecting: value)
                if mirror.displayStyle == .optional, let inner = mirror.children.first { return add(inner.value, path) }
                guard !mirror.children.isEmpty, mirror.displayStyle != .set else { return lines[path] = "\(value)" }
                for (index, child) in mirror.children.enumerated() { add(child.value, path + "." + (child.label ?? String(index))) }
            }
        }
        add(value, "")
        return lines
    }
}

extension Timestamp {
    fileprivate var settled: Timestamp { self < Capture.noon ? self : Timestamp(microseconds: microseconds / 1_000_000 * 1_000_000) }
}

extension ThreadSummary {
    fileprivate var settled: ThreadSummary {
        var thread = self
        thread.number = 0
        (thread.firstAt, thread.lastAt) = (firstAt.settled, lastAt.settled)
        if let first { thread.first?.at = first.at.settled }
        if let last { thread.last?.at = last.at.settled }
        thread.scores = scores.map(\.settled)
        return thread
    }
}

extension ConversationItem {
    fileprivate var settled: ConversationItem {
        var item = self
        item.receivedAt = Capture.noon
        (item.at, item.event.at) = (at.settled, event.at?.settled)
        item.feedback = feedback.settled
        item.scores = scores.map(\.settled)
        item.runs = runs.map(\.settled)
        return item
    }
}

extension RunNode {
    fileprivate var settled: RunNode {
        var node = self
        (node.run.createdAt, node.run.updatedAt) = (run.createdAt.settled, run.updatedAt.settled)
        node.feedback = feedback.settled
        node.scores = scores.map(\.settled)
        node.children = children.map(\.settled)
        return node
    }
}

extension FeedbackSummary {
    fileprivate var settled: FeedbackSummary {
        FeedbackSummary(
            votes: votes.map { vote in
                var vote = vote
                (vote.at, vote.commentAt) = (vote.at.settled, vote.commentAt.settled)
                return vote
            })
    }
}

extension Score {
    /// Opik's scores have no ID; theirs is made of the moment, to the microsecond.
    fileprivate var settled: Score {
        var score = self
        score.at = at.settled
        if at >= Capture.noon { score.event = "" }
        return score
    }
}
