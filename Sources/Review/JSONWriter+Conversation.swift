public import Conversations
public import Events

// The shapes of the read API. A reader may rely on every member being there: what is not known is `null`.
extension JSONWriter {
    /// Excerpts in a list are cut to this many characters; the conversation has the whole text.
    private static let excerptCharacters = 300

    /// A thread in a list.
    public mutating func summary(_ thread: ThreadSummary) {
        object { writer in
            writer.opening(of: thread)
            writer.field("messageCount", thread.messageCount)
            writer.field("firstAt", thread.firstAt)
            writer.field("lastAt", thread.lastAt)
            writer.excerpt("firstMessage", thread.first)
            writer.excerpt("lastMessage", thread.last)
            writer.key("feedback")
            writer.object {
                $0.field("up", thread.up); $0.field("down", thread.down)
            }
            writer.scores(thread.scores)
            writer.comments(thread.comments)
            writer.marks(on: thread)
        }
    }

    /// A stretch of a thread.
    /// - Parameter project: whose rules hold, where a person reads it.
    public mutating func members(of conversation: Conversation, _ rendering: Rendering = .plain, under project: Project? = nil) {
        let thread = conversation.thread
        key("thread")
        object { writer in
            writer.opening(of: thread)
            writer.field(orNull: "metadata", thread.metadata)
            writer.field("messageCount", thread.messageCount)
            writer.field("firstAt", thread.firstAt)
            writer.field("lastAt", thread.lastAt)
            writer.scores(thread.scores)
            writer.comments(thread.comments)
            writer.marks(on: thread)
            writer.key("removedScores")
            writer.array(thread.removedScores) { writer, removed in
                writer.object { writer in
                    writer.members(of: removed.score)
                    writer.field("removedAt", removed.removedAt)
                    writer.field("why", "reactivated")
                }
            }
            writer.field(orNull: "closes", thread.closesAt)
            if let project {
                writer.field("scoring", project.settings.scoring.rawValue)
                writer.field("inactiveAfterSeconds", project.settings.inactiveAfterSeconds)
            }
        }
        key("items")
        array(conversation.items) { writer, item in writer.object { $0.members(of: item, rendering) } }
        runs(conversation.looseRuns)
        field(orNull: "next", conversation.next)
    }

    /// A message or a custom event.
    public mutating func members(of item: ConversationItem, _ rendering: Rendering = .plain) {
        let event = item.event
        field("type", event.type)
        field("id", event.id)
        guard case .message(let message) = event.body else {
            if case .event(let name) = event.body { field("name", name) } else { key("name"); null() }
            field(orNull: "metadata", event.metadata)
            field("at", item.at)
            user(event.user)
            return
        }
        field("role", message.role.rawValue)
        switch message.content {
        case .text(let text): field("content", text)
        case .blocks(let blocks): field("content", blocks)
        }
        nodes(of: message, rendering)
        field("at", item.at)
        field("receivedAt", item.receivedAt)
        field("provenance", item.provenance.rawValue)
        switch item.confirmation {
        case .confirmed?: field("confirmation", "confirmed"); key("finding"); null()
        case .differs(let run, let produced)?:
            field("confirmation", "differs")
            key("finding")
            object {
                $0.field("run", run); $0.field("produced", produced)
            }
        case nil: key("confirmation"); null(); key("finding"); null()
        }
        field(orNull: "derivedFrom", item.derivedFrom)
        user(event.user)
        field("tags", message.tags)
        field(orNull: "metadata", event.metadata)
        field(orNull: "replyTo", message.replyTo)
        field(orNull: "retryOf", message.retryOf)
        field(orNull: "trace", message.trace)
        feedback(item.feedback)
        scores(item.scores)
        comments(item.comments)
        runs(item.runs)
    }

    /// A run with the runs below it.
    public mutating func members(of node: RunNode) {
        let run = node.run
        field("id", run.id)
        field(orNull: "kind", run.kind?.rawValue)
        field(orNull: "name", run.name)
        field(orNull: "parent", run.parent)
        field(orNull: "thread", run.thread)
        field("link", node.link.name)
        field(orNull: "via", node.via?.rawValue)
        field("parentProven", run.isParentProven)
        field(orNull: "input", run.input)
        field(orNull: "output", run.output)
        field(orNull: "model", run.model)
        field(orNull: "provider", run.provider)
        field(orNull: "usage", run.usage)
        field(orNull: "cost", run.cost)
        field(orNull: "success", run.success)
        field(orNull: "error", run.error)
        field(orNull: "startedAt", run.startedAt)
        field(orNull: "endedAt", run.endedAt)
        field(orNull: "latencyMs", run.latencyMilliseconds)
        field(orNull: "metadata", run.metadata)
        user(run.user.map { Event.User(id: $0) })
        field("tags", run.tags)
        field(orNull: "question", run.question)
        field(orNull: "answer", run.answer)
        field(orNull: "trace", run.trace)
        field(orNull: "extra", run.extra)
        feedback(node.feedback)
        scores(node.scores)
        comments(node.comments)
        field("createdAt", run.createdAt)
        field("updatedAt", run.updatedAt)
        runs(node.children)
    }

    // MARK: parts

    /// What a thread opens with, in a list and on its own.
    private mutating func opening(of thread: ThreadSummary) {
        field("id", thread.id)
        field("number", thread.number)
        field("status", thread.status.rawValue)
        key("user")
        if let user = thread.user {
            object {
                $0.field("id", user.id); $0.field("proven", user.isProven); $0.field(orNull: "props", user.props)
            }
        } else {
            null()
        }
        field("tags", thread.tags)
    }

    private mutating func excerpt(_ name: String, _ excerpt: ThreadSummary.Excerpt?) {
        key(name)
        guard let excerpt else { return null() }
        object { writer in
            writer.field("id", excerpt.id)
            writer.field("role", excerpt.role.rawValue)
            writer.field("text", String(excerpt.text.prefix(Self.excerptCharacters)))
            writer.field("at", excerpt.at)
        }
    }

    private mutating func user(_ user: Event.User?) {
        key("user")
        if let user {
            object {
                $0.field("id", user.id); $0.field("proven", user.isProven)
            }
        } else {
            null()
        }
    }

    private mutating func feedback(_ feedback: FeedbackSummary) {
        key("feedback")
        object { $0.members(of: feedback) }
    }

    /// The votes on something, summed up and each.
    public mutating func members(of feedback: FeedbackSummary) {
        field("up", feedback.up)
        field("down", feedback.down)
        key("votes")
        array(feedback.votes) { writer, vote in
            writer.object { writer in
                let parts = vote.voter.split(separator: ":", maxSplits: 1)
                let (by, name) = (parts.first.map(String.init) ?? "anonymous", parts.count > 1 ? String(parts[1]) : nil)
                let user = by == "user" ? name.map { Event.User(key: $0) } : nil
                writer.field("voter", user.map { "user:" + $0.id } ?? vote.voter)
                writer.field("by", by)
                writer.field(orNull: "name", user?.id ?? name)
                if let user { writer.field("proven", user.isProven) }
                writer.field(orNull: "thumb", vote.thumb?.rawValue)
                writer.field(orNull: "comment", vote.comment)
                writer.field("at", vote.changedAt)
            }
        }
    }

    /// What reviewers left on a thread, and what is there to find.
    private mutating func marks(on thread: ThreadSummary) {
        key("reviewed")
        if let reviewed = thread.reviewed {
            object {
                $0.field("by", reviewed.by); $0.field("at", reviewed.at)
            }
        } else {
            null()
        }
        field(orNull: "seen", thread.isSeen)
        field("errors", thread.errors)
        field("findings", thread.findings)
    }

    mutating func comments(_ comments: [Comment], _ name: String = "comments") {
        key(name)
        array(comments) { writer, comment in
            writer.object { writer in
                writer.field("id", comment.id)
                writer.field("text", comment.text)
                writer.field(orNull: "author", comment.author)
                writer.field("at", comment.at)
                writer.field("changedAt", comment.changedAt)
                writer.comments(comment.replies, "replies")
            }
        }
    }

    mutating func scores(_ scores: [Score]) {
        key("scores")
        array(scores) { writer, score in writer.object { $0.members(of: score) } }
    }

    private mutating func members(of score: Score) {
        field("name", score.name)
        field(orNull: "value", score.value)
        field(orNull: "category", score.category)
        field(orNull: "reason", score.reason)
        field("author", score.author)
        field("judge", score.judge.rawValue)
        field("at", score.at)
        field("stale", score.isStale)
    }

    private mutating func runs(_ nodes: [RunNode]) {
        key("runs")
        array(nodes) { writer, node in writer.object { $0.members(of: node) } }
    }
}
