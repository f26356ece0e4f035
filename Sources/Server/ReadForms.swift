import Conversations
import Events

// Conversations as the read API shows them (protocol, Read), for `thread --json` and `export`.

extension JSONWriter {
    /// A thread in a list.
    mutating func summary(_ thread: ThreadSummary) {
        object { json in
            json.opening(of: thread)
            json.field("messageCount", thread.messageCount)
            json.field("firstAt", thread.firstAt)
            json.field("lastAt", thread.lastAt)
            json.excerpt("firstMessage", thread.first)
            json.excerpt("lastMessage", thread.last)
            json.key("feedback")
            json.object {
                $0.field("up", thread.up); $0.field("down", thread.down)
            }
            json.scores(thread.scores)
        }
    }

    /// A stretch of a thread.
    mutating func conversation(_ conversation: Conversation) {
        let thread = conversation.thread
        object { json in
            json.key("thread")
            json.object { json in
                json.opening(of: thread)
                json.field(orNull: "metadata", thread.metadata)
                json.field("messageCount", thread.messageCount)
                json.field("firstAt", thread.firstAt)
                json.field("lastAt", thread.lastAt)
                json.scores(thread.scores)
                json.key("comments")
                json.array { _ in }
            }
            json.key("items")
            json.array(conversation.items) { json, item in json.object { $0.members(of: item) } }
            json.runs(conversation.looseRuns)
            json.field(orNull: "next", conversation.next)
        }
    }

    /// A message or a custom event.
    mutating func members(of item: ConversationItem) {
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
        field("at", item.at)
        field("receivedAt", item.receivedAt)
        field("provenance", item.provenance.rawValue)
        user(event.user)
        field("tags", message.tags)
        field(orNull: "metadata", event.metadata)
        field(orNull: "replyTo", message.replyTo)
        field(orNull: "retryOf", message.retryOf)
        feedback(item.feedback)
        scores(item.scores)
        runs(item.runs)
    }

    /// A run with the runs below it.
    mutating func members(of node: RunNode) {
        let run = node.run
        field("id", run.id)
        field(orNull: "kind", run.kind?.rawValue)
        field(orNull: "name", run.name)
        field(orNull: "parent", run.parent)
        field("link", node.link.name)
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
        runs(node.children)
    }

    // MARK: parts

    /// What a thread opens with, in a list and on its own.
    private mutating func opening(of thread: ThreadSummary) {
        field("id", thread.id)
        field("status", thread.status.rawValue)
        key("user")
        if let user = thread.user {
            object {
                $0.field("id", user.id); $0.field(orNull: "props", user.props)
            }
        } else {
            null()
        }
        field("tags", thread.tags)
    }

    private mutating func excerpt(_ name: String, _ excerpt: ThreadSummary.Excerpt?) {
        key(name)
        guard let excerpt else { return null() }
        object { json in
            json.field("id", excerpt.id)
            json.field("role", excerpt.role.rawValue)
            json.field("text", String(excerpt.text.prefix(300)))  // as the read API cuts it
            json.field("at", excerpt.at)
        }
    }

    private mutating func user(_ user: Event.User?) {
        key("user")
        if let user { object { $0.field("id", user.id) } } else { null() }
    }

    private mutating func feedback(_ feedback: FeedbackSummary) {
        key("feedback")
        object { json in
            json.field("up", feedback.up)
            json.field("down", feedback.down)
            json.key("votes")
            json.array(feedback.votes) { json, vote in
                json.object { json in
                    json.field("voter", vote.voter)
                    json.field(orNull: "thumb", vote.thumb?.rawValue)
                    json.field(orNull: "comment", vote.comment)
                    json.field("at", vote.at)
                }
            }
        }
    }

    private mutating func scores(_ scores: [Score]) {
        key("scores")
        array(scores) { json, score in
            json.object { json in
                json.field("name", score.name)
                json.field(orNull: "value", score.value)
                json.field(orNull: "category", score.category)
                json.field(orNull: "reason", score.reason)
                json.field("author", score.author)
                json.field("at", score.at)
            }
        }
    }

    private mutating func runs(_ nodes: [RunNode]) {
        key("runs")
        array(nodes) { json, node in json.object { $0.members(of: node) } }
    }
}
