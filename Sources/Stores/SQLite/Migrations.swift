import GRDB

/// The tables, version by version. A version that was released is never changed.
enum Migrations {
    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { try $0.execute(sql: version1) }
        migrator.registerMigration("2") { try $0.execute(sql: version2) }
        migrator.registerMigration("3") { db in
            try db.execute(sql: version3)
            let key = Blob((0..<32).map { _ in UInt8.random(in: .min ... .max) })
            try db.execute(sql: "UPDATE control SET tombstone_key = ?", arguments: [key])
        }
        migrator.registerMigration("4") { try $0.execute(sql: version4) }
        migrator.registerMigration("5") { try $0.execute(sql: version5) }
        return migrator
    }

    /// Numbers stand for projects, threads, users and sources inside, so that a row repeats no text.
    /// Times are microseconds since 1970. Every index leads with the project.
    private static let version1 = """
        CREATE TABLE control (revision INTEGER NOT NULL);
        INSERT INTO control VALUES (1);
        CREATE TABLE project (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE,
            settings TEXT NOT NULL, created INTEGER NOT NULL);
        CREATE TABLE key (
            id TEXT PRIMARY KEY, lane TEXT NOT NULL, scope TEXT NOT NULL, project INTEGER REFERENCES project(number),
            digest BLOB NOT NULL UNIQUE, shown TEXT NOT NULL, label TEXT, created INTEGER NOT NULL, expires INTEGER,
            revoked INTEGER) WITHOUT ROWID;
        CREATE TABLE sign_in (digest BLOB PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE review_session (digest BLOB PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;

        CREATE TABLE source (
            number INTEGER PRIMARY KEY, project INTEGER NOT NULL, key TEXT NOT NULL, lane TEXT NOT NULL,
            origin TEXT NOT NULL, transport TEXT NOT NULL, UNIQUE (project, key, lane, origin, transport));
        CREATE TABLE person (
            number INTEGER PRIMARY KEY, project INTEGER NOT NULL, id TEXT NOT NULL, props TEXT, UNIQUE (project, id));

        -- The log: insert only. `space` and `part` tell apart what may share an ID (Event.IDSpace; a run's parts by digest).
        CREATE TABLE event (
            sequence INTEGER PRIMARY KEY, project INTEGER NOT NULL, id TEXT NOT NULL, space INTEGER NOT NULL,
            part BLOB NOT NULL, type TEXT NOT NULL, thread INTEGER, at INTEGER NOT NULL, received INTEGER NOT NULL,
            source INTEGER NOT NULL, person INTEGER, role INTEGER, digest BLOB NOT NULL, content TEXT, payload TEXT);
        CREATE UNIQUE INDEX event_identity ON event (project, id, space, part);
        CREATE INDEX event_item ON event (project, thread, at) WHERE thread IS NOT NULL AND type NOT IN ('run', 'feedback', 'score', 'thread', 'identify', 'client_report');

        -- Folds, written in the same transaction as the events they come from.
        CREATE TABLE thread (
            number INTEGER PRIMARY KEY, project INTEGER NOT NULL, id TEXT NOT NULL, messages INTEGER NOT NULL,
            roles INTEGER NOT NULL, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL,
            first_message_at INTEGER, first_message TEXT, last_message_at INTEGER, last_message TEXT, active_at INTEGER,
            person TEXT, person_at INTEGER, person_event TEXT, status TEXT, status_at INTEGER, status_event TEXT,
            metadata TEXT, metadata_at INTEGER, metadata_event TEXT, UNIQUE (project, id));
        CREATE INDEX thread_activity ON thread (project, last_at, number);
        CREATE INDEX thread_person ON thread (project, person, last_at) WHERE person IS NOT NULL;
        CREATE TABLE thread_tag (
            project INTEGER NOT NULL, tag TEXT NOT NULL, thread INTEGER NOT NULL, PRIMARY KEY (project, tag, thread)) WITHOUT ROWID;
        CREATE INDEX thread_tag_thread ON thread_tag (project, thread);
        CREATE TABLE run (
            project INTEGER NOT NULL, id TEXT NOT NULL, parent TEXT, link INTEGER NOT NULL, thread INTEGER,
            PRIMARY KEY (project, id)) WITHOUT ROWID;
        CREATE INDEX run_parent ON run (project, parent) WHERE parent IS NOT NULL;
        CREATE INDEX run_thread ON run (project, thread) WHERE thread IS NOT NULL;
        CREATE INDEX run_pending ON run (project) WHERE link = 1;
        CREATE TABLE vote (
            project INTEGER NOT NULL, target TEXT NOT NULL, voter TEXT NOT NULL, thumb INTEGER, comment TEXT,
            at INTEGER NOT NULL, event TEXT NOT NULL, thread INTEGER, PRIMARY KEY (project, target, voter)) WITHOUT ROWID;
        CREATE INDEX vote_thread ON vote (project, thread, thumb) WHERE thread IS NOT NULL;
        CREATE TABLE score (
            project INTEGER NOT NULL, target TEXT NOT NULL, name TEXT NOT NULL, author TEXT NOT NULL, value REAL,
            category TEXT, reason TEXT, at INTEGER NOT NULL, event TEXT NOT NULL,
            PRIMARY KEY (project, target, name, author)) WITHOUT ROWID;

        CREATE TABLE quarantine (
            number INTEGER PRIMARY KEY AUTOINCREMENT, project INTEGER NOT NULL, digest BLOB NOT NULL, reason TEXT NOT NULL,
            field TEXT, message TEXT NOT NULL, event TEXT, type TEXT, received INTEGER NOT NULL, source INTEGER NOT NULL,
            payload TEXT NOT NULL);
        CREATE UNIQUE INDEX quarantine_identity ON quarantine (project, digest);
        CREATE INDEX quarantine_reason ON quarantine (project, reason, number);
        CREATE TABLE quarantine_total (project INTEGER PRIMARY KEY, items INTEGER NOT NULL, bytes INTEGER NOT NULL);

        CREATE TABLE outcome (
            project INTEGER NOT NULL, minute INTEGER NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, count INTEGER NOT NULL,
            PRIMARY KEY (project, minute, key, name)) WITHOUT ROWID;

        CREATE VIRTUAL TABLE search USING fts5 (scope, words, content = '', tokenize = 'unicode61 remove_diacritics 2');
        CREATE TABLE search_state (indexed INTEGER NOT NULL);
        INSERT INTO search_state VALUES (0);
        """

    /// The search index is merged by the indexer, a little with each step. IDs get other names; runs hang under the messages of their
    /// traces, and may be whole turns of a thread; tags can be taken off; remarks.
    private static let version2 = """
        INSERT INTO search (search, rank) VALUES ('automerge', 0);
        INSERT INTO search (search, rank) VALUES ('crisismerge', 64);

        -- `names_from`: the last event that was given the key's names; NULL: nothing is owed.
        ALTER TABLE key ADD COLUMN sealed BLOB;
        ALTER TABLE key ADD COLUMN names_from INTEGER;
        ALTER TABLE key ADD COLUMN names_since INTEGER;
        CREATE TABLE alias (project INTEGER NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (project, name)) WITHOUT ROWID;

        -- The message a run hangs under as long as the parent it names is not there.
        ALTER TABLE run ADD COLUMN fallback TEXT;
        CREATE INDEX run_fallback ON run (project, fallback) WHERE fallback IS NOT NULL;
        CREATE TABLE run_trace (
            project INTEGER NOT NULL, trace TEXT NOT NULL, run TEXT NOT NULL, rank INTEGER NOT NULL,
            PRIMARY KEY (project, trace, run)) WITHOUT ROWID;
        CREATE INDEX run_trace_run ON run_trace (project, run, rank, trace);
        CREATE TABLE message_trace (
            project INTEGER NOT NULL, trace TEXT NOT NULL, message TEXT NOT NULL, PRIMARY KEY (project, trace, message)) WITHOUT ROWID;
        CREATE INDEX message_trace_message ON message_trace (project, message);
        ALTER TABLE thread ADD COLUMN turns INTEGER NOT NULL DEFAULT 0;

        ALTER TABLE thread_tag ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE thread_tag ADD COLUMN event TEXT NOT NULL DEFAULT '';
        ALTER TABLE thread_tag ADD COLUMN off INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE vote ADD COLUMN comment_at INTEGER;
        ALTER TABLE vote ADD COLUMN comment_event TEXT;
        ALTER TABLE score ADD COLUMN judge TEXT NOT NULL DEFAULT 'program';
        CREATE TABLE comment (
            project INTEGER NOT NULL, id TEXT NOT NULL, target TEXT NOT NULL, text TEXT, author TEXT, at INTEGER NOT NULL,
            changed_at INTEGER NOT NULL, event TEXT NOT NULL, PRIMARY KEY (project, id)) WITHOUT ROWID;
        CREATE INDEX comment_target ON comment (project, target);
        CREATE INDEX event_queue ON event (project, sequence) WHERE type = 'queue';
        """

    /// People who review have names; what they marked and the views they keep; what was erased; what follows the commits: facts that
    /// lists are narrowed by, and figures.
    private static let version3 = """
        DROP TABLE sign_in;
        DROP TABLE review_session;
        CREATE TABLE member (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, folded TEXT NOT NULL UNIQUE, role TEXT NOT NULL, projects TEXT, password TEXT,
            created INTEGER NOT NULL, seen INTEGER) WITHOUT ROWID;
        CREATE TABLE sign_in (digest BLOB PRIMARY KEY, member TEXT NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE review_session (digest BLOB PRIMARY KEY, member TEXT NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE saved_view (
            project INTEGER NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, query TEXT NOT NULL, owner TEXT NOT NULL,
            shared INTEGER NOT NULL, PRIMARY KEY (project, id)) WITHOUT ROWID;
        CREATE TABLE seen (
            project INTEGER NOT NULL, member TEXT NOT NULL, thread INTEGER NOT NULL, at INTEGER NOT NULL,
            PRIMARY KEY (project, member, thread)) WITHOUT ROWID;
        CREATE INDEX seen_thread ON seen (project, thread);
        CREATE TABLE reviewed (
            project INTEGER NOT NULL, thread INTEGER NOT NULL, by TEXT NOT NULL, at INTEGER NOT NULL,
            PRIMARY KEY (project, thread)) WITHOUT ROWID;
        CREATE TABLE audit (
            number INTEGER PRIMARY KEY AUTOINCREMENT, project INTEGER, at INTEGER NOT NULL, by TEXT NOT NULL, action TEXT NOT NULL,
            subject TEXT, detail TEXT);
        CREATE INDEX audit_project ON audit (project, number);

        -- Keyed hashes of the IDs of what was erased. `purging`: what is still to be done so that the file has
        -- nothing of it; `blank`: zeros for its free pages.
        ALTER TABLE control ADD COLUMN tombstone_key BLOB;
        CREATE TABLE tombstone (project INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (project, hash)) WITHOUT ROWID;
        ALTER TABLE search_state ADD COLUMN purging INTEGER NOT NULL DEFAULT 0;

        -- What a vote, score, remark or trace note is about, to find all of them again. Events of a thread beside its items; and by user.
        ALTER TABLE event ADD COLUMN target TEXT;
        UPDATE event SET target = json_extract(payload, '$.target')
            WHERE type IN ('feedback', 'score', 'comment', 'trace') AND payload IS NOT NULL;
        CREATE INDEX event_target ON event (project, target) WHERE target IS NOT NULL;
        CREATE INDEX event_beside ON event (project, thread)
            WHERE thread IS NOT NULL AND type IN ('run', 'feedback', 'score', 'thread', 'identify', 'client_report');
        CREATE INDEX event_person ON event (project, person) WHERE person IS NOT NULL;

        -- The list walks this index alone: what most filters ask stands in it. `provenances`: bits of where its messages came from.
        -- `view`: what its turns say of it, for the list; NULL until it is found out.
        ALTER TABLE thread ADD COLUMN provenances INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE thread ADD COLUMN view TEXT;
        UPDATE thread SET provenances = coalesce((
            SELECT max(s.lane = 'secret') + 2 * max(s.lane = 'public' AND e.person IS NOT NULL) + 4 * max(s.lane = 'public' AND e.person IS NULL)
            FROM event e INDEXED BY event_item JOIN source s ON s.number = e.source
            WHERE e.project = thread.project AND e.thread = thread.number AND e.thread IS NOT NULL AND e.type = 'message'
                AND e.type NOT IN ('run', 'feedback', 'score', 'thread', 'identify', 'client_report')), 0) | (turns <> 0);
        DROP INDEX thread_activity;
        CREATE INDEX thread_activity ON thread (project, last_at, number, first_at, roles, provenances);
        CREATE INDEX thread_first ON thread (project, first_at, person);
        CREATE INDEX thread_status ON thread (project, status, status_at) WHERE status IS NOT NULL;
        CREATE INDEX thread_unviewed ON thread (project) WHERE turns <> 0 AND view IS NULL;
        CREATE INDEX vote_thumb ON vote (project, thumb, thread) WHERE thread IS NOT NULL AND thumb IS NOT NULL;
        CREATE INDEX vote_at ON vote (project, at, thumb);
        CREATE INDEX vote_voter ON vote (project, voter);

        -- `noted`: that its removal stands in the audit log.
        ALTER TABLE score ADD COLUMN thread INTEGER;
        ALTER TABLE score ADD COLUMN noted INTEGER NOT NULL DEFAULT 0;
        UPDATE score SET thread = coalesce(
            (SELECT number FROM thread t WHERE t.project = score.project AND t.id = score.target),
            (SELECT thread FROM event e WHERE e.project = score.project AND e.id = score.target AND e.space = 0 AND e.part = x''));
        CREATE INDEX score_thread ON score (project, thread, name, value, category, judge, at) WHERE thread IS NOT NULL;
        CREATE INDEX score_name ON score (project, name, value) WHERE thread IS NOT NULL;
        CREATE INDEX score_category ON score (project, name, category) WHERE thread IS NOT NULL AND category IS NOT NULL;

        -- `follower`: the last event that the facts and figures speak of. `dirty`: IDs that changed without an event of their own.
        CREATE TABLE follower (followed INTEGER NOT NULL);
        INSERT INTO follower VALUES (0);
        CREATE TABLE dirty (project INTEGER NOT NULL, id TEXT NOT NULL, PRIMARY KEY (project, id)) WITHOUT ROWID;
        CREATE TABLE fact (
            project INTEGER NOT NULL, kind INTEGER NOT NULL, thread INTEGER NOT NULL, subject TEXT NOT NULL,
            PRIMARY KEY (project, kind, thread, subject)) WITHOUT ROWID;
        CREATE INDEX fact_subject ON fact (project, subject, kind, thread);
        CREATE TABLE reply (
            project INTEGER NOT NULL, question TEXT NOT NULL, message TEXT NOT NULL, PRIMARY KEY (project, question, message)) WITHOUT ROWID;
        -- Counts of a quarter of an hour, and what each run or thread has added to them.
        CREATE TABLE figure (
            project INTEGER NOT NULL, slot INTEGER NOT NULL, name INTEGER NOT NULL, value INTEGER NOT NULL,
            PRIMARY KEY (project, slot, name)) WITHOUT ROWID;
        CREATE TABLE counted (
            project INTEGER NOT NULL, subject TEXT NOT NULL, tally TEXT NOT NULL, PRIMARY KEY (project, subject)) WITHOUT ROWID;
        CREATE TABLE blank (number INTEGER PRIMARY KEY, zeros BLOB NOT NULL);
        CREATE INDEX alias_id ON alias (project, id);
        CREATE INDEX quarantine_order ON quarantine (project, number);
        -- Where the newest rows of the log had gone with their project, its numbers began again below what was indexed.
        UPDATE search_state SET indexed = min(indexed, (SELECT coalesce(max(sequence), 0) FROM event));
        """

    /// The same indexes; but a list behind IN is a table of its own, which SQLite made and dropped for each event that was inserted.
    private static let version4 = """
        DROP INDEX event_item;
        CREATE INDEX event_item ON event (project, thread, at) WHERE thread IS NOT NULL AND type <> 'run' AND type <> 'feedback'
            AND type <> 'score' AND type <> 'thread' AND type <> 'identify' AND type <> 'client_report';
        DROP INDEX event_beside;
        CREATE INDEX event_beside ON event (project, thread) WHERE thread IS NOT NULL AND (type = 'run' OR type = 'feedback'
            OR type = 'score' OR type = 'thread' OR type = 'identify' OR type = 'client_report');
        """

    /// The search index no longer says where in a text a word stands. It is made anew beside the commits; until that is done, search
    /// finds what it has come to.
    private static let version5 = """
        DROP TABLE search;
        CREATE VIRTUAL TABLE search USING fts5 (
            words, content = '', detail = none, columnsize = 0, tokenize = 'unicode61 remove_diacritics 2');
        INSERT INTO search (search, rank) VALUES ('automerge', 0);
        INSERT INTO search (search, rank) VALUES ('crisismerge', 64);
        UPDATE search_state SET indexed = 0;
        """
}
