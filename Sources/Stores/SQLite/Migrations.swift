import GRDB

/// The tables, version by version. A version that was released is never changed.
enum Migrations {
    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { try $0.execute(sql: version1) }
        migrator.registerMigration("2") { try $0.execute(sql: version2) }
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
}
