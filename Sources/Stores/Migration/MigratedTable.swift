/// A table that both stores have, as it is copied from one to the other.
struct MigratedTable: Sendable {
    struct Column: Sendable {
        enum Kind: Sendable { case integer, small, boolean, double, text, bytes }

        let name: String
        let kind: Kind
        /// Whether it is no column of the file, but found out of others (`SourceFile`).
        var isDerived = false
    }

    let name: String
    /// The key's columns come first, in the order in which the file is walked.
    let columns: [Column]
    let keyCount: Int
    /// What else the database lets no two rows share.
    let uniques: [[String]]
    /// Which of the file's rows are copied; all where it says nothing.
    let condition: String?
    /// Whether new rows come at its end, so that following it is reading on; what changes in the rest, the last pass finds.
    let isLog: Bool
    /// A table whose rows refer to this one's: emptied before this one changes, and copied after it.
    let dependent: String?

    /// - Parameters:
    ///   - key: columns as `NAME:KIND`, the kind being `i` (bigint), `s` (smallint), `b` (boolean), `d` (double precision), `t` (text)
    ///     or `x` (bytea).
    init(
        _ name: String, key: String, _ rest: String = "", uniques: [[String]] = [], condition: String? = nil, isLog: Bool = false,
        dependent: String? = nil
    ) {
        self.name = name
        let keys = key.split(separator: " ")
        columns = (keys + rest.split(separator: " ")).map { word in
            let parts = word.split(separator: ":")
            let kind: Column.Kind =
                switch parts[1] {
                case "i": .integer
                case "s": .small
                case "b": .boolean
                case "d": .double
                case "t": .text
                case "x": .bytes
                default: preconditionFailure("\(word) has no kind")
                }
            return Column(name: String(parts[0]), kind: kind, isDerived: parts.count > 2)
        }
        keyCount = keys.count
        self.uniques = uniques
        self.condition = condition
        self.isLog = isLog
        self.dependent = dependent
    }

    var key: ArraySlice<Column> { columns.prefix(keyCount) }
    var keyNames: String { key.map(\.name).joined(separator: ", ") }
    var columnNames: String { columns.map(\.name).joined(separator: ", ") }

    /// All tables, those that others refer to first. What is indexed for search is not among them: the database makes it anew.
    ///
    /// `control` and `follower`, of one row, are settled at the end (`Migration.settle`); `search_state` and `stream_mark` are the
    /// database's own.
    static let all = [
        MigratedTable(
            "project", key: "number:i", "id:t name:t settings:t created:i", uniques: [["id"], ["name"]], dependent: "key"),
        MigratedTable(
            "key", key: "id:t",
            "lane:t scope:t project:i digest:x shown:t label:t created:i expires:i revoked:i sealed:x names_from:i names_since:i",
            uniques: [["digest"]]),
        MigratedTable(
            "member", key: "id:t", "name:t folded:t role:t projects:t password:t created:i seen:i", uniques: [["folded"]]),
        MigratedTable("sign_in", key: "digest:x", "member:t expires:i"),
        MigratedTable("review_session", key: "digest:x", "member:t expires:i"),
        MigratedTable("saved_view", key: "project:i id:t", "name:t query:t owner:t shared:b"),
        MigratedTable(
            "source", key: "number:i", "project:i key:t lane:t origin:t transport:t identity:x:derived",
            uniques: [["project", "number"], ["project", "identity"]]),
        MigratedTable("person", key: "project:i id:t", "number:i props:t", uniques: [["project", "number"]]),
        // A row of no project only keeps the end of the file's log where it is.
        MigratedTable(
            "event", key: "sequence:i",
            "project:i space:s content:t payload:t id:t part:x type:t thread:i at:i received:i source:i person:i role:s digest:x target:t",
            uniques: [["project", "id", "space", "part"]], condition: "project <> 0", isLog: true),
        MigratedTable(
            "thread", key: "project:i id:t",
            """
            number:i messages:i roles:s first_at:i last_at:i first_message_at:i first_message:t last_message_at:i last_message:t active_at:i \
            person:t person_at:i person_event:t status:t status_at:i status_event:t metadata:t metadata_at:i metadata_event:t turns:b \
            provenances:s view:t
            """, uniques: [["project", "number"]]),
        MigratedTable("thread_tag", key: "project:i tag:t thread:i", "at:i event:t off:b"),
        MigratedTable("run", key: "project:i id:t", "parent:t link:s thread:i fallback:t"),
        MigratedTable("run_trace", key: "project:i trace:t run:t", "rank:s"),
        MigratedTable("message_trace", key: "project:i trace:t message:t"),
        MigratedTable(
            "vote", key: "project:i target:t voter:t", "thumb:s comment:t at:i event:t comment_at:i comment_event:t thread:i"),
        MigratedTable(
            "score", key: "project:i target:t name:t author:t",
            "value:d category:t reason:t at:i event:t judge:t thread:i noted:b"),
        MigratedTable("comment", key: "project:i id:t", "target:t text:t author:t at:i changed_at:i event:t"),
        MigratedTable("alias", key: "project:i name:t", "id:t"),
        MigratedTable("seen", key: "project:i member:t thread:i", "at:i"),
        MigratedTable("reviewed", key: "project:i thread:i", "by:t at:i"),
        MigratedTable("audit", key: "number:i", "project:i at:i by:t action:t subject:t detail:t", isLog: true),
        MigratedTable(
            "quarantine", key: "project:i number:i",
            "digest:x reason:t field:t message:t event:t type:t received:i source:i payload:t", uniques: [["project", "digest"]]),
        MigratedTable("quarantine_total", key: "project:i", "items:i bytes:i"),
        MigratedTable("outcome", key: "project:i minute:i key:t name:t", "count:i"),
        MigratedTable("tombstone", key: "project:i hash:x"),
        MigratedTable("dirty", key: "project:i id:t"),
        MigratedTable("fact", key: "project:i kind:s thread:i subject:t"),
        MigratedTable("reply", key: "project:i question:t message:t"),
        MigratedTable("figure", key: "project:i slot:i name:i", "value:i"),
        MigratedTable("counted", key: "project:i subject:t", "tally:t"),
    ]

    /// The same, those together that must be of one moment: rows of the one refer to rows of the other.
    static let groups: [[MigratedTable]] = [[named("project"), named("key")]] + all.dropFirst(2).map { [$0] }

    static func named(_ name: String) -> MigratedTable { all.first { $0.name == name }! }
}
