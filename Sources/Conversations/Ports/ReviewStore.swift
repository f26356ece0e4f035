public import Events

/// A filter that people gave a name.
public struct SavedView: Sendable, Equatable {
    public var id: String
    public var name: String
    /// The parameters of the list, as in its address: `feedback=down&status=inactive`.
    public var query: String
    /// The member who made it.
    public var owner: String
    public var isShared: Bool
    public init(id: String, name: String, query: String, owner: String, isShared: Bool) {
        (self.id, self.name, self.query, self.owner, self.isShared) = (id, name, query, owner, isShared)
    }
}

/// Something that happened, in a word: what a page that looks on has to read again.
public struct Change: Sendable, Equatable {
    public var sequence: Int64
    public var project: ProjectID
    /// The thread's ID; nil where the event names none and none is known (a run before its message, an `identify`).
    public var thread: String?
    public var type: String
    public var id: String
    public init(sequence: Int64, project: ProjectID, thread: String?, type: String, id: String) {
        (self.sequence, self.project, self.thread, self.type, self.id) = (sequence, project, thread, type, id)
    }
}

/// Counts over a span of time.
public struct Figures: Sendable, Equatable {
    /// Conversations that began in it, and the users they are of.
    public var conversations = 0
    public var users = 0
    public var messages = 0
    /// Votes of chat users.
    public var up = 0
    public var down = 0
    public var runs = 0
    /// Runs that failed.
    public var errors = 0
    /// How long the runs that answer a message took, in milliseconds, within 5 %; nil without any.
    public var latencyP50: Double?
    public var latencyP95: Double?
    public init() {}
}

/// A day by a reader's clock, and what happened in it.
public struct DayFigures: Sendable, Equatable {
    /// `2026-11-21`
    public var day: String
    public var figures: Figures
    public init(day: String, figures: Figures) { (self.day, self.figures) = (day, figures) }
}

public struct Overview: Sendable, Equatable {
    /// Each day of the span, also those without anything, oldest first.
    public var days: [DayFigures]
    public var total: Figures
    /// The span of equal length before.
    public var previous: Figures
    public init(days: [DayFigures], total: Figures, previous: Figures) {
        (self.days, self.total, self.previous) = (days, total, previous)
    }
}

/// A chat user and what they left.
public struct UserSummary: Sendable, Equatable {
    public var id: String
    /// Whether this is who proved the name; somebody who only says it is another user.
    public var isProven: Bool
    public var props: JSONText?
    public var threads: Int
    public var messages: Int
    public var firstAt: Timestamp
    public var lastAt: Timestamp
    public var up: Int
    public var down: Int
    public init(
        id: String, isProven: Bool = false, props: JSONText?, threads: Int, messages: Int, firstAt: Timestamp, lastAt: Timestamp, up: Int,
        down: Int
    ) {
        self.id = id
        self.isProven = isProven
        self.props = props
        self.threads = threads
        self.messages = messages
        self.firstAt = firstAt
        self.lastAt = lastAt
        self.up = up
        self.down = down
    }
}

/// What an erasure took away.
public struct Erasure: Sendable, Equatable {
    public var threads = 0
    public var messages = 0
    public var runs = 0
    /// All events, messages and runs' parts among them.
    public var events = 0
    public var quarantined = 0
    /// Keyed hashes of IDs that were set, so that what is sent again is refused.
    public var tombstones = 0
    public init() {}
}

/// What is found of a user.
public struct UserTraces: Sendable, Equatable {
    /// The user's ID as a hash under a key of the store.
    public var fingerprint: String
    public var threads = 0
    /// Events in their name, in anybody's thread.
    public var events = 0
    public var votes = 0
    /// Whether proven, said, or both.
    public var names = 0
    public var quarantined = 0
    /// Whether what was erased, theirs or another's, is overwritten in the file too.
    public var isPurged = false
    public init(fingerprint: String) { self.fingerprint = fingerprint }

    public var isNone: Bool { threads + events + votes + names + quarantined == 0 }
}

/// Who did what: an entry of the audit log.
public struct AuditEntry: Sendable, Equatable {
    /// Given by the store; ignored when inserted.
    public var id: Int64
    public var at: Timestamp
    /// What it was done in; nil: the installation. Set by the store when read.
    public var project: ProjectID?
    /// The member's name, a key's ID, `cli:` and a user of the machine, or `parley` for what happens by itself.
    public var by: String
    /// `project.update`, `key.revoke`, `scores.removed`, …
    public var action: String
    /// What it was done to: an ID.
    public var subject: String?
    public var detail: JSONText?
    public init(id: Int64 = 0, at: Timestamp, by: String, action: String, subject: String? = nil, detail: JSONText? = nil) {
        (self.id, self.at, self.by, self.action, self.subject, self.detail) = (id, at, by, action, subject, detail)
    }
}

/// Which entries of the audit log.
public struct AuditFilter: Sendable, Equatable {
    public enum Scope: Sendable, Equatable { case everything, installation, project(ProjectID) }

    public var scope = Scope.everything
    /// An action, or the word before its dot.
    public var action: String?
    public var by: String?
    public var from: Timestamp?
    public var to: Timestamp?
    public init() {}
}

/// Things in quarantine for one cause.
public struct QuarantineGroup: Sendable {
    public var reason: Reason
    public var field: String?
    public var type: String?
    public var count: Int
    public var firstAt: Timestamp
    public var lastAt: Timestamp
    /// The newest of them.
    public var sample: QuarantineItem
    public init(
        reason: Reason, field: String?, type: String?, count: Int, firstAt: Timestamp, lastAt: Timestamp, sample: QuarantineItem
    ) {
        self.reason = reason
        self.field = field
        self.type = type
        self.count = count
        self.firstAt = firstAt
        self.lastAt = lastAt
        self.sample = sample
    }
}

/// What reviewing needs beside the conversations: marks, views, figures, users, and taking things away.
public protocol ReviewStore: Sendable {
    /// Marks a thread as seen by a member up to a time; never backwards.
    func markSeen(_ thread: String, by member: String, at time: Timestamp, in project: ProjectID) async throws
    /// Marks a thread as reviewed by somebody of that name, or (`at` nil) as not. What arrives after `at` makes it unreviewed again.
    /// Answers whether there is such a thread.
    func markReviewed(_ thread: String, by name: String, at time: Timestamp?, in project: ProjectID) async throws -> Bool

    /// Somebody's views and the shared ones, by name.
    func views(of member: String, in project: ProjectID) async throws -> [SavedView]
    func insert(_ view: SavedView, in project: ProjectID) async throws
    /// Answers whether it was there; `owner` nil takes anybody's.
    func removeView(_ id: String, of owner: String?, in project: ProjectID) async throws -> Bool

    /// Names of scores, the most used first, with how often (at most 100).
    func scoreNames(in project: ProjectID) async throws -> [(name: String, count: Int)]
    /// Tags of threads likewise (at most 500).
    func tags(in project: ProjectID) async throws -> [(tag: String, count: Int)]
    /// Who wrote a comment that stands; nil: none of that ID. The outer nil: there is no such comment.
    func authorOfComment(_ id: String, in project: ProjectID) async throws -> String??
    /// The thread that a thread, message, run or comment of that ID belongs to.
    func threadOf(target: String, in project: ProjectID) async throws -> String?

    /// What was committed after a sequence number, in that order, of all projects.
    func changes(after sequence: Int64, limit: Int) async throws -> [Change]
    /// Follows a little behind the commits.
    func overview(in project: ProjectID, from: Timestamp, to: Timestamp, offsetMinutes: Int) async throws -> Overview
    /// Latest activity first; `words`: part of the ID or of a property.
    func users(in project: ProjectID, matching words: String?, limit: Int, after cursor: String?) async throws -> Page<UserSummary>
    func user(_ id: String, in project: ProjectID) async throws -> UserSummary?
    /// When something was stored last, and how many threads there are.
    func standing(of project: ProjectID) async throws -> (lastEventAt: Timestamp?, threads: Int)

    /// Takes away all that a user said and what hangs on it, from everywhere; keyed hashes of the IDs stay, so that what is
    /// sent again is `dropped` as `erased`.
    func erase(user: String, in project: ProjectID) async throws -> Erasure
    /// What is left of a user, looked for anew.
    func traces(of user: String, in project: ProjectID) async throws -> UserTraces
    /// Users that are there and have this fingerprint; reads all users of the project.
    func users(ofFingerprint fingerprint: String, in project: ProjectID) async throws -> [String]
    /// A MAC over bytes under a key that only this store has, in hex.
    func seal(of bytes: [UInt8]) async throws -> String
    /// Takes away threads without activity since a time, at most `limit` of them, with tombstones likewise.
    func eraseThreads(inactiveSince time: Timestamp, in project: ProjectID, limit: Int) async throws -> Erasure

    func quarantineGroups(in project: ProjectID) async throws -> [QuarantineGroup]

    func note(_ entry: AuditEntry, in project: ProjectID?) async throws
    /// Newest first.
    func audit(matching filter: AuditFilter, limit: Int, after cursor: String?) async throws -> Page<AuditEntry>
}

extension ReviewStore {
    /// Newest first; of a project, or (nil) of the installation.
    public func audit(in project: ProjectID?, limit: Int, after cursor: String?) async throws -> Page<AuditEntry> {
        var filter = AuditFilter()
        filter.scope = project.map { .project($0) } ?? .installation
        return try await audit(matching: filter, limit: limit, after: cursor)
    }
}
