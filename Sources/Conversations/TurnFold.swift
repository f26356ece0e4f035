public import Events

/// Reads a conversation together from messages and from turns, each thing once.
///
/// A turn is a run that is a whole exchange: a backend tells with it what was asked and what was answered. Where a page sent those
/// messages too, the turn hangs under them: by the message it names, by its own ID, or since the same words stand in the thread
/// at about the same time (`inferred`). Only for what no message says one is made of the turn, and as soon as the message arrives it
/// takes that one's place.
public enum TurnFold {
    /// How far apart the same words may stand and be the same thing, in seconds.
    public static let window = 300.0
    /// A traced run hangs under the user's last message before it; a clock may be off by this much, in seconds.
    static let clockTolerance = 5.0

    /// The ID of the answer that a turn makes; the question it makes has the turn's own.
    public static func answerID(of run: String) -> String { run + answerMark }

    private static let answerMark = ":answer"

    /// The IDs that a turn's answer may have, the usual one first; a further one where a message has taken those before it.
    public static func answerIDs(of run: String) -> some Sequence<String> {
        sequence(first: answerID(of: run)) { $0.utf8.count < 4 * Event.Bounds.id ? answerID(of: $0) : nil }
    }

    /// The run that the answer of that ID would be made of; for any other ID the same.
    public static func run(ofAnswer id: String) -> String {
        var id = Substring(id)
        while id.hasSuffix(answerMark) { id.removeLast(answerMark.count) }
        return String(id)
    }

    public struct Result: Sendable {
        public var items: [ConversationItem]
        public var loose: [RunNode]
    }

    /// - Parameters:
    ///   - items: the messages and custom events of a thread with their runs.
    ///   - loose: runs of the thread that hang under none of them.
    public static func fold(_ items: [ConversationItem], loose: [RunNode]) -> Result {
        var thread = Thread(items)
        var rest: [RunNode] = []
        for index in items.indices {
            for turn in items[index].runs where turn.run.isTurn { thread.claim(index, by: turn) }
        }
        for turn in loose.sorted(by: { (start(of: $0), $0.run.id) < (start(of: $1), $1.run.id) }) {
            if turn.run.isTurn, thread.place(turn) { continue }
            rest.append(turn)
        }
        thread.answer()
        rest = rest.filter { !thread.infer($0) }
        return Result(items: thread.items.sorted { ($0.at, $0.event.id) < ($1.at, $1.event.id) }, loose: rest)
    }

    static func start(of node: RunNode) -> Timestamp { node.run.startedAt ?? node.run.endedAt ?? node.run.createdAt }

    private struct Thread {
        var items: [ConversationItem]
        private let texts: [String]
        /// The IDs that are taken here.
        private var ids: Set<String>
        /// Messages that already are some turn's question or answer.
        private var taken: Set<Int> = []
        /// The turns, each with its question's place.
        private var turns: [(turn: RunNode, question: Int?)] = []
        /// What was answered to a question, by its place: two backends may tell of one turn.
        private var answers: [Int: [String]] = [:]

        init(_ items: [ConversationItem]) {
            self.items = items
            ids = Set(items.map(\.event.id))
            texts = items.map { item in
                if case .message(let message) = item.event.body { message.plainText.collapsed } else { "" }
            }
        }

        mutating func claim(_ index: Int, by turn: RunNode) {
            taken.insert(index)
            turns.append((turn, index))
        }

        /// Finds the question of a turn that names none; false where it has no words of its own either.
        mutating func place(_ turn: RunNode) -> Bool {
            guard let question = turn.run.question else {
                if turn.run.answer != nil { turns.append((turn, nil)) }
                return false
            }
            let start = TurnFold.start(of: turn)
            if let index = nearest(question, role: .user, to: start) {
                var found = turn
                (found.link, found.via) = (.bound, .inferred)
                taken.insert(index)
                items[index].runs.append(found)
                turns.append((found, index))
                return true
            }
            turns.append((turn, items.count))
            var item = derived(turn, id: turn.run.id, role: .user, text: question, at: start)
            item.runs = [turn]
            items.append(item)
            return true
        }

        /// Makes the answers that no message gives.
        mutating func answer() {
            for (turn, question) in turns {
                guard let answer = turn.run.answer else { continue }
                if let question {
                    let words = answer.collapsed
                    if answers[question, default: []].contains(words) { continue }
                    answers[question, default: []].append(words)
                }
                let start = TurnFold.start(of: turn)
                let end = max(turn.run.endedAt ?? start, start)
                if let index = nearest(answer, role: .assistant, to: end) {
                    taken.insert(index)
                    continue
                }
                // A question and an answer of one moment still are in order.
                let at = end == start ? Timestamp(microseconds: end.microseconds + 1) : end
                items.append(derived(turn, id: freeID(of: turn.run.id), role: .assistant, text: answer, at: at))
            }
        }

        /// An ID is one message's, whoever took the answer's first.
        private mutating func freeID(of run: String) -> String {
            TurnFold.answerIDs(of: run).first { ids.insert($0).inserted } ?? TurnFold.answerID(of: run)
        }

        /// Hangs a traced run that nothing else places under the user's last message before it.
        mutating func infer(_ run: RunNode) -> Bool {
            guard run.run.trace != nil, run.run.thread != nil, run.link == .none || run.link == .pending else { return false }
            let latest = TurnFold.start(of: run).advanced(bySeconds: TurnFold.clockTolerance)
            let index = items.indices.filter { index in
                guard case .message(let message) = items[index].event.body else { return false }
                return message.role == .user && items[index].at <= latest
            }.max { (items[$0].at, items[$0].event.id) < (items[$1].at, items[$1].event.id) }
            guard let index else { return false }
            var found = run
            (found.link, found.via) = (.bound, .inferred)
            items[index].runs.append(found)
            return true
        }

        private func nearest(_ text: String, role: Event.Role, to time: Timestamp) -> Int? {
            let text = text.collapsed
            guard !text.isEmpty else { return nil }
            func distance(_ index: Int) -> Int64 { abs(items[index].at.microseconds - time.microseconds) }
            return texts.indices.filter { index in
                guard !taken.contains(index), texts[index] == text, case .message(let message) = items[index].event.body else {
                    return false
                }
                return message.role == role && distance(index) <= Int64(TurnFold.window * 1_000_000)
            }.min { (distance($0), items[$0].event.id) < (distance($1), items[$1].event.id) }
        }

        private func derived(_ turn: RunNode, id: String, role: Event.Role, text: String, at: Timestamp) -> ConversationItem {
            let event = Event(
                id: id, thread: turn.run.thread, at: at, user: role == .user ? turn.run.user.map { Event.User(key: $0) } : nil,
                body: .message(Event.Message(role: role, content: .text(text))))
            return ConversationItem(
                event: event, at: at, receivedAt: turn.run.createdAt, provenance: .verified, derivedFrom: turn.run.id)
        }
    }
}

extension Event.Message {
    /// The words of the content; of blocks, their texts one after the other.
    public var plainText: String {
        switch content {
        case .text(let text): return text
        case .blocks(let blocks):
            var words = ""
            func collect(_ value: JSONValue, isText: Bool) {
                if isText, let text = value.string { words += words.isEmpty ? text : " " + text }
                value.forEachElement { collect($0, isText: isText || $0.kind == .string) }
                value.forEachMember { key, member in collect(member, isText: key.equals("text") || key.equals("content")) }
            }
            try? JSONDocument.read(blocks.bytes, isOurs: true) { collect($0, isText: false) }
            return words
        }
    }
}

extension String {
    /// Without spaces around it, and with one where there are several.
    var collapsed: String { split(whereSeparator: \.isWhitespace).joined(separator: " ") }
}
