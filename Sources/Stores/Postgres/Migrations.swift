/// The tables, version by version. A version that was released is never changed.
enum Migrations {
    static let newest = 1

    /// Brings the database to the newest version, whoever else does so at the same time.
    ///
    /// Each version is one transaction under one lock: a node that starts beside others waits for theirs, and finds nothing left to do.
    static func migrate(_ pool: Pool, partitions: Int) async throws {
        while try await pool.write({ try step($0, partitions: partitions) }) {}
    }

    /// Takes one step; answers whether there is more to do.
    private static func step(_ db: Database, partitions: Int) throws -> Bool {
        // The first of several nodes may take a while, with a lock table for partitions to be filled.
        try db.execute("SET LOCAL lock_timeout = '60s'")
        try db.execute("SET LOCAL statement_timeout = '0'")
        try db.execute("SELECT pg_advisory_xact_lock($1::int4, 0)", [LockClass.migrations])
        let isThere = try Bool.fetchOne(db, sql: "SELECT to_regclass('parley') IS NOT NULL")!
        let version = isThere ? try Int.fetchOne(db, sql: "SELECT version FROM parley") ?? 0 : 0
        guard version <= newest else {
            throw PostgresStore.OpenFailure(
                description:
                    "The database was set up by a newer Parley (version \(version), this one knows \(newest)): use that one, or a later one."
            )
        }
        guard version < newest else { return false }
        try db.executeScript(version1(partitions: partitions))
        let key = Blob((0..<32).map { _ in UInt8.random(in: .min ... .max) })
        try db.execute("INSERT INTO control (revision, tombstone_key) VALUES (1, $1)", [key])
        try db.execute("INSERT INTO parley (version, partitions) VALUES (1, $1)", [partitions])
        return newest > 1
    }

    /// Tables that grow with what is recorded: each is cut into as many parts by its project.
    static let partitioned = [
        "event", "thread", "thread_tag", "run", "run_trace", "message_trace", "vote", "score", "comment", "person", "alias", "fact",
        "reply",
        "counted", "search",
    ]

    /// With one part they are plain tables.
    private static func version1(partitions: Int) -> String {
        var sql = version1Tables.replacing("TEXT", with: "text COLLATE \"C\"")
            .replacing("PARTED", with: partitions > 1 ? "PARTITION BY HASH (project)" : "")
        guard partitions > 1 else { return sql }
        for table in partitioned {
            for part in 0..<partitions {
                sql += "CREATE TABLE \(table)_\(part) PARTITION OF \(table) FOR VALUES WITH (MODULUS \(partitions), REMAINDER \(part));\n"
            }
        }
        return sql
    }

    /// Numbers stand for projects, threads, users and sources inside, so that a row repeats no text; they come from sequences and are
    /// unique with their project. Times are microseconds since 1970. Texts sort by their bytes, as they do in SQLite. Every key of what
    /// belongs to a project leads with it.
    private static let version1Tables = """
        CREATE TABLE parley (version integer NOT NULL, partitions integer NOT NULL);
        CREATE TABLE control (revision bigint NOT NULL, tombstone_key bytea NOT NULL);
        CREATE TABLE project (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE, settings TEXT NOT NULL,
            created bigint NOT NULL);
        -- `names_from`: the last event that was given the key's names; NULL: nothing is owed.
        CREATE TABLE key (
            id TEXT PRIMARY KEY, lane TEXT NOT NULL, scope TEXT NOT NULL, project bigint REFERENCES project(number),
            digest bytea NOT NULL UNIQUE, shown TEXT NOT NULL, label TEXT, created bigint NOT NULL, expires bigint, revoked bigint,
            sealed bytea, names_from bigint, names_since bigint);
        CREATE TABLE member (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, folded TEXT NOT NULL UNIQUE, role TEXT NOT NULL, projects TEXT, password TEXT,
            created bigint NOT NULL, seen bigint);
        CREATE TABLE sign_in (digest bytea PRIMARY KEY, member TEXT NOT NULL, expires bigint NOT NULL);
        CREATE TABLE review_session (digest bytea PRIMARY KEY, member TEXT NOT NULL, expires bigint NOT NULL);
        CREATE TABLE saved_view (
            project bigint NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, query TEXT NOT NULL, owner TEXT NOT NULL, shared boolean NOT NULL,
            PRIMARY KEY (project, id));
        CREATE TABLE seen (
            project bigint NOT NULL, thread bigint NOT NULL, member TEXT NOT NULL, at bigint NOT NULL, PRIMARY KEY (project, member, thread));
        CREATE INDEX seen_thread ON seen (project, thread);
        CREATE TABLE reviewed (
            project bigint NOT NULL, thread bigint NOT NULL, by TEXT NOT NULL, at bigint NOT NULL, PRIMARY KEY (project, thread));
        CREATE TABLE audit (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, project bigint, at bigint NOT NULL, by TEXT NOT NULL, action TEXT NOT NULL,
            subject TEXT, detail TEXT);
        CREATE INDEX audit_project ON audit (project, number);

        -- `identity`: a hash of all that makes it one; an origin may be longer than an index takes.
        CREATE SEQUENCE source_number;
        CREATE TABLE source (
            project bigint NOT NULL, number bigint NOT NULL DEFAULT nextval('source_number'), identity bytea NOT NULL, key TEXT NOT NULL,
            lane TEXT NOT NULL, origin TEXT NOT NULL, transport TEXT NOT NULL, PRIMARY KEY (project, identity));
        CREATE UNIQUE INDEX source_by_number ON source (project, number);
        CREATE SEQUENCE person_number;
        CREATE TABLE person (
            project bigint NOT NULL, number bigint NOT NULL, id TEXT NOT NULL, props TEXT, PRIMARY KEY (project, id)) PARTED;
        CREATE UNIQUE INDEX person_by_number ON person (project, number);

        -- The log: insert only. `space` and `part` tell apart what may share an ID (Event.IDSpace; a run's parts by digest). The first
        -- number of the sequence is nobody's, so that its last value is always below what is given next (LogOrder).
        CREATE SEQUENCE event_sequence MINVALUE 0 START 0;
        SELECT nextval('event_sequence');
        CREATE TABLE event (
            project bigint NOT NULL, sequence bigint NOT NULL, at bigint NOT NULL, received bigint NOT NULL, thread bigint, person bigint,
            source bigint NOT NULL, space smallint NOT NULL, role smallint, id TEXT NOT NULL, part bytea NOT NULL, type TEXT NOT NULL,
            digest bytea NOT NULL, target TEXT, content TEXT, payload TEXT, PRIMARY KEY (project, id, space, part)) PARTED;
        CREATE INDEX event_log ON event (sequence);
        CREATE INDEX event_of_project ON event (project, sequence);
        CREATE INDEX event_item ON event (project, thread, at) WHERE thread IS NOT NULL AND type <> 'run' AND type <> 'feedback'
            AND type <> 'score' AND type <> 'thread' AND type <> 'identify' AND type <> 'client_report';
        CREATE INDEX event_beside ON event (project, thread) WHERE thread IS NOT NULL AND (type = 'run' OR type = 'feedback'
            OR type = 'score' OR type = 'thread' OR type = 'identify' OR type = 'client_report');
        CREATE INDEX event_queue ON event (project, sequence) WHERE type = 'queue';
        CREATE INDEX event_target ON event (project, target) WHERE target IS NOT NULL;
        CREATE INDEX event_person ON event (project, person) WHERE person IS NOT NULL;

        -- Folds, written in the same transaction as the events they come from. `provenances`: bits of where its messages came from.
        -- `view`: what its turns say of it, for the list; NULL until it is found out.
        CREATE SEQUENCE thread_number;
        CREATE TABLE thread (
            project bigint NOT NULL, number bigint NOT NULL, messages bigint NOT NULL, first_at bigint NOT NULL, last_at bigint NOT NULL,
            first_message_at bigint, last_message_at bigint, active_at bigint, person_at bigint, status_at bigint, metadata_at bigint,
            roles smallint NOT NULL, provenances smallint NOT NULL DEFAULT 0, turns boolean NOT NULL DEFAULT false, id TEXT NOT NULL,
            first_message TEXT, last_message TEXT, person TEXT, person_event TEXT, status TEXT, status_event TEXT, metadata TEXT,
            metadata_event TEXT, view TEXT, PRIMARY KEY (project, id)) PARTED;
        CREATE UNIQUE INDEX thread_by_number ON thread (project, number);
        CREATE INDEX thread_activity ON thread (project, last_at, number) INCLUDE (first_at, roles, provenances);
        CREATE INDEX thread_person ON thread (project, person, last_at, number) WHERE person IS NOT NULL;
        CREATE INDEX thread_first ON thread (project, first_at, person);
        CREATE INDEX thread_status ON thread (project, status, status_at) WHERE status IS NOT NULL;
        CREATE INDEX thread_unviewed ON thread (project) WHERE turns AND view IS NULL;
        CREATE TABLE thread_tag (
            project bigint NOT NULL, thread bigint NOT NULL, at bigint NOT NULL, off boolean NOT NULL, tag TEXT NOT NULL,
            event TEXT NOT NULL, PRIMARY KEY (project, tag, thread)) PARTED;
        CREATE INDEX thread_tag_thread ON thread_tag (project, thread);
        -- `fallback`: the message a run hangs under as long as the parent it names is not there.
        CREATE TABLE run (
            project bigint NOT NULL, thread bigint, link smallint NOT NULL, id TEXT NOT NULL, parent TEXT, fallback TEXT,
            PRIMARY KEY (project, id)) PARTED;
        CREATE INDEX run_parent ON run (project, parent) WHERE parent IS NOT NULL;
        CREATE INDEX run_fallback ON run (project, fallback) WHERE fallback IS NOT NULL;
        CREATE INDEX run_thread ON run (project, thread) WHERE thread IS NOT NULL;
        CREATE INDEX run_pending ON run (project) WHERE link = 1;
        CREATE TABLE run_trace (
            project bigint NOT NULL, rank smallint NOT NULL, trace TEXT NOT NULL, run TEXT NOT NULL, PRIMARY KEY (project, trace, run)) PARTED;
        CREATE INDEX run_trace_run ON run_trace (project, run);
        CREATE TABLE message_trace (
            project bigint NOT NULL, trace TEXT NOT NULL, message TEXT NOT NULL, PRIMARY KEY (project, trace, message)) PARTED;
        CREATE INDEX message_trace_message ON message_trace (project, message);
        CREATE TABLE vote (
            project bigint NOT NULL, thread bigint, thumb smallint, at bigint NOT NULL, comment_at bigint, target TEXT NOT NULL,
            voter TEXT NOT NULL, comment TEXT, event TEXT NOT NULL, comment_event TEXT, PRIMARY KEY (project, target, voter)) PARTED;
        CREATE INDEX vote_thread ON vote (project, thread, thumb) WHERE thread IS NOT NULL;
        CREATE INDEX vote_thumb ON vote (project, thumb, thread) WHERE thread IS NOT NULL AND thumb IS NOT NULL;
        CREATE INDEX vote_at ON vote (project, at, thumb);
        CREATE INDEX vote_voter ON vote (project, voter);
        -- `noted`: that its removal stands in the audit log.
        CREATE TABLE score (
            project bigint NOT NULL, thread bigint, at bigint NOT NULL, value double precision, noted boolean NOT NULL DEFAULT false,
            target TEXT NOT NULL, name TEXT NOT NULL, author TEXT NOT NULL, category TEXT, reason TEXT, event TEXT NOT NULL,
            judge TEXT NOT NULL, PRIMARY KEY (project, target, name, author)) PARTED;
        CREATE INDEX score_thread ON score (project, thread, name) WHERE thread IS NOT NULL;
        CREATE INDEX score_name ON score (project, name, value) WHERE thread IS NOT NULL;
        CREATE INDEX score_category ON score (project, name, category) WHERE thread IS NOT NULL AND category IS NOT NULL;
        CREATE TABLE comment (
            project bigint NOT NULL, at bigint NOT NULL, changed_at bigint NOT NULL, id TEXT NOT NULL, target TEXT NOT NULL, text TEXT,
            author TEXT, event TEXT NOT NULL, PRIMARY KEY (project, id)) PARTED;
        CREATE INDEX comment_target ON comment (project, target);
        CREATE TABLE alias (project bigint NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (project, name)) PARTED;
        CREATE INDEX alias_id ON alias (project, id);

        CREATE TABLE quarantine (
            project bigint NOT NULL, number bigint GENERATED ALWAYS AS IDENTITY, received bigint NOT NULL, source bigint NOT NULL,
            digest bytea NOT NULL, reason TEXT NOT NULL, field TEXT, message TEXT NOT NULL, event TEXT, type TEXT, payload TEXT NOT NULL,
            PRIMARY KEY (project, number));
        CREATE UNIQUE INDEX quarantine_identity ON quarantine (project, digest);
        CREATE INDEX quarantine_reason ON quarantine (project, reason, number);
        CREATE TABLE quarantine_total (project bigint PRIMARY KEY, items bigint NOT NULL, bytes bigint NOT NULL);
        -- How far shards of streams are committed (`StreamMark`): of no project, since a shard has many.
        CREATE TABLE stream_mark (
            stream TEXT NOT NULL, shard integer NOT NULL, sequence bigint NOT NULL, stored_at bigint NOT NULL, PRIMARY KEY (stream, shard));
        CREATE TABLE outcome (
            project bigint NOT NULL, minute bigint NOT NULL, count bigint NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL,
            PRIMARY KEY (project, minute, key, name));
        -- Keyed hashes of the IDs of what was erased.
        CREATE TABLE tombstone (project bigint NOT NULL, hash bytea NOT NULL, PRIMARY KEY (project, hash));

        -- What follows the commits. `search.words`: the words of an event, folded by the store, and one that stands for the project.
        CREATE TABLE search (
            project bigint NOT NULL, sequence bigint NOT NULL, words tsvector NOT NULL, PRIMARY KEY (project, sequence)) PARTED;
        CREATE INDEX search_words ON search USING gin (words);
        CREATE TABLE search_state (indexed bigint NOT NULL);
        INSERT INTO search_state VALUES (0);
        -- `follower`: the last event that the facts and figures speak of. `dirty`: IDs that changed without an event of their own; insert
        -- only, so that no append waits for who works them off.
        CREATE TABLE follower (followed bigint NOT NULL);
        INSERT INTO follower VALUES (0);
        CREATE TABLE dirty (
            project bigint NOT NULL, number bigint GENERATED ALWAYS AS IDENTITY, id TEXT NOT NULL, PRIMARY KEY (project, number));
        CREATE TABLE fact (
            project bigint NOT NULL, thread bigint NOT NULL, kind smallint NOT NULL, subject TEXT NOT NULL,
            PRIMARY KEY (project, kind, thread, subject)) PARTED;
        CREATE INDEX fact_subject ON fact (project, subject, kind, thread);
        CREATE TABLE reply (
            project bigint NOT NULL, question TEXT NOT NULL, message TEXT NOT NULL, PRIMARY KEY (project, question, message)) PARTED;
        CREATE INDEX reply_message ON reply (project, message);
        -- Counts of a quarter of an hour, and what each run or thread has added to them.
        CREATE TABLE figure (
            project bigint NOT NULL, slot bigint NOT NULL, name bigint NOT NULL, value bigint NOT NULL, PRIMARY KEY (project, slot, name));
        CREATE TABLE counted (
            project bigint NOT NULL, subject TEXT NOT NULL, tally TEXT NOT NULL, PRIMARY KEY (project, subject)) PARTED;

        """
}
