import Events

/// The first number of this store's advisory locks of two numbers, which say what is locked.
///
/// Locks of one number are kept for `LogOrder`: nobody else may take such in the database.
enum LockClass {
    /// `parl`, and what follows.
    static let migrations = 0x7061_726C
    static let project = 0x7061_726D
    /// Whose turn it is to follow the log, and that what follows it stays as it is.
    static let upkeep = 0x7061_726E
    static let derived = 0x7061_726F
}

extension Pipeline {
    /// One writer at a time a project, on whichever node: waits for the others, and keeps them waiting until the transaction ends.
    ///
    /// To be taken before anything is read that a write is based on: statements after it see all that the one before committed. Projects
    /// are locked in the order of their numbers, so that nobody waits in a circle.
    mutating func lock(_ projects: some Sequence<ProjectID>) {
        // Numbers past 2³¹ share locks with others, which costs a wait and no more.
        let numbers = Set(projects.map { Int64(Int32(truncatingIfNeeded: $0.number)) }).sorted()
        guard !numbers.isEmpty else { return }
        add("SELECT pg_advisory_xact_lock($1::int4, p::int4) FROM unnest($2::bigint[]) p", [LockClass.project, numbers])
    }
}

extension Database {
    /// `Pipeline.lock` by itself.
    func lock(_ project: ProjectID) throws {
        var pipeline = Pipeline()
        pipeline.lock([project])
        _ = try run(pipeline)
    }
}
