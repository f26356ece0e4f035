import Conversations
import Events

// Conversations as the read API shows them (protocol, Read); `thread --json`, `export` and `tail` write the same.

extension JSONWriter {
    mutating func summary(_ thread: ThreadSummary) {
        object { json in
            json.field("id", thread.id)
            json.field("status", thread.status.rawValue)
            json.user(thread.user)
            json.field("tags", thread.tags)
            json.field("messageCount", thread.messageCount)
            json.field("firstAt", thread.firstAt)
            json.field("lastAt", thread.lastAt)
            json.excerpt("firstMessage", thread.first)
            json.excerpt("lastMessage", thread.last)
            json.key("feedback")
            json.object { $0.field("up", thread.up); $0.field("down", thread.down) }
            json.scores(thread.scores)
        }
    }

    /// The `thread` member of a conversation.
    mutating func heading(_ thread: ThreadSummary) {
        object { json in
            json.field("id", thread.id)
            json.field("status", thread.status.rawValue)
            json.user(thread.user)
            json.field("tags", thread.tags)
            json.field(orNull: "metadata", thread.metadata)
            json.field("messageCount", thread.messageCount)
            json.field("firstAt", thread.firstAt)
            json.field("lastAt", thread.lastAt)
            json.scores(thread.scores)
            json.key("comments")
            json.array {_ in }
        }
    }

    mutating func item(_ item: ConversationItem) {
        object { json in
            json.field("type", item.event.type)
            json.field("id", item.event.id)
            json.field("at", item.at)
            json.field("receivedAt", item.receivedAt)
            json.field("provenance", item.provenance.rawValue)
            json.key("user")
            if let user = item.event.user { json.object { $0.field("id", user.id) } } else { json.null() }
            json.field(orNull: "metadata", item.event.metadata)
            switch item.event.body {
            case .message(let message):
                json.field("role", message.role.rawValue)
                switch message.content {
                case .text(let text): json.field("content", text)
                case .blocks(let blocks): json.field("content", blocks)
                }
                json.field("tags", message.tags)
                json.field(orNull: "replyTo", message.replyTo)
                json.field(orNull: "retryOf", message.retryOf)
                json.key("feedback")
                json.object { json in
                    json.field("up", item.feedback.up)
                    json.field("down", item.feedback.down)
                    json.key("votes")
                    json.array(item.feedback.votes) { json, vote in
                        json.object { json in
                            json.field("voter", vote.voter)
                            json.field(orNull: "thumb", vote.thumb?.rawValue)
                            json.field(orNull: "comment", vote.comment)
                            json.field("at", vote.at)
                        }
                    }
                }
                json.scores(item.scores)
                json.key("runs")
                json.array(item.runs) { $0.run($1) }
            case .event(let name): json.field("name", name)
            default: break
            }
        }
    }

    mutating func run(_ node: RunNode) {
        let run = node.run
        object { json in
            json.field("id", run.id)
            json.field(orNull: "kind", run.kind?.rawValue)
            json.field(orNull: "name", run.name)
            json.field(orNull: "parent", run.parent)
            json.field("link", node.link.name)
            json.field(orNull: "input", run.input)
            json.field(orNull: "output", run.output)
            json.field(orNull: "model", run.model)
            json.field(orNull: "provider", run.provider)
            json.field(orNull: "usage", run.usage)
            json.field(orNull: "cost", run.cost)
            json.field(orNull: "success", run.success)
            json.field(orNull: "error", run.error)
            json.field(orNull: "startedAt", run.startedAt)
            json.field(orNull: "endedAt", run.endedAt)
            json.field(orNull: "latencyMs", run.latencyMilliseconds)
            json.field(orNull: "metadata", run.metadata)
            json.scores(node.scores)
            json.key("runs")
            json.array(node.children) { $0.run($1) }
        }
    }

    /// An event as it was stored, with what the server noted beside it.
    mutating func stored(_ stored: StoredEvent, project: String) {
        object { json in
            json.field("sequence", stored.sequence)
            json.field("project", project)
            json.field("at", stored.at)
            json.field("receivedAt", stored.receivedAt)
            json.field("provenance", stored.source.provenance(userNamed: stored.event.user != nil).rawValue)
            json.field("lane", stored.source.lane.rawValue)
            json.field("key", stored.source.key)
            json.field(orNull: "origin", stored.source.origin)
            json.field("transport", stored.source.transport.rawValue)
            json.field("event", stored.event.json())
        }
    }

    private mutating func user(_ user: Event.User?) {
        key("user")
        guard let user else { return null() }
        object { json in
            json.field("id", user.id)
            json.field(orNull: "props", user.props)
        }
    }

    private mutating func excerpt(_ name: String, _ excerpt: ThreadSummary.Excerpt?) {
        key(name)
        guard let excerpt else { return null() }
        object { json in
            json.field("id", excerpt.id)
            json.field("role", excerpt.role.rawValue)
            json.field("text", excerpt.text)
            json.field("at", excerpt.at)
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
}
