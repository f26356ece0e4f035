extension Migration {
    /// What became of a table.
    public struct Comparison: Sendable {
        public var table: String
        public var source: TableDigest
        public var target: TableDigest
        /// What the database itself counts.
        public var counted = 0
        /// Rows that were put in or taken away.
        public var mended = 0
        public var agrees: Bool { source == target && counted == target.rows }

        init(of table: String) { (self.table, source, target) = (table, TableDigest(), TableDigest()) }

        /// Takes in what became of another stretch of it.
        mutating func add(_ other: Comparison) {
            source.add(other.source)
            target.add(other.target)
            mended += other.mended
        }
    }
}
