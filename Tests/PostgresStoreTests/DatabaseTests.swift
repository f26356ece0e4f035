import Events
import Logging
import Testing
@testable import PostgresStore

@Suite("PostgreSQL connection")
struct DatabaseTests {
    @Test("values of every kind come back as they went")
    func values() async throws {
        try await withPool { pool in
            try await pool.read { db in
                let row = try db.fetchOne(
                    "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10",
                    [
                        Int64.min, -3.25, true, "Grüße \u{1F600}", Blob([0, 1, 255]), nil as String?, ["a", "", "ü{\",\\"],
                        [1, 2] as [Int64],
                        [] as [String], nil as Int64?,
                    ])!
                #expect(row[0] as Int64 == .min)
                #expect(row[1] as Double == -3.25)
                #expect(row[2] as Bool == true)
                #expect(row[3] as String == "Grüße \u{1F600}")
                #expect(row[4] as Blob == Blob([0, 1, 255]))
                #expect(row[5] as String? == nil)
                #expect(row[6] as [String] == ["a", "", "ü{\",\\"])
                #expect(row[7] as [Int64] == [1, 2])
                #expect(row[8] as [String] == [])
                #expect(row[9] as Int64? == nil)
                let numbers = try db.fetchOne(
                    "SELECT 7::smallint, 8::int, sum(x), avg(x), 1.5::real, count(*) FROM unnest($1) x", [[5, 10]])!
                #expect([numbers[0] as Int, numbers[1], numbers[2]] == [7, 8, 15])
                #expect(numbers[3] as Double == 7.5 && numbers[4] as Double == 1.5 && numbers[5] as Int == 2)
                let sums = try db.fetchOne("SELECT 123456789012345678901234567890::numeric, -0.00012::numeric, 1000000::numeric")!
                #expect(abs((sums[0] as Double) - 1.2345678901234568e29) < 1e14)
                #expect(abs((sums[1] as Double) + 0.00012) < 1e-12 && sums[2] as Int == 1_000_000)
            }
        }
    }

    @Test("an array keeps each element in its place, and each NULL")
    func arrays() async throws {
        try await withPool { pool in
            try await pool.read { db in
                let texts: [String?] = ["a", nil, "", "ü\0"]
                let numbers: [Int64?] = [nil, .min, nil, 7]
                let bytes: [TextBytes?] = [nil, nil, nil, TextBytes(Array("{}".utf8))]
                let rows = try db.fetchAll(
                    "SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::boolean[], $5::bytea[])",
                    [texts, numbers, bytes, [true, false, true, false], [Blob([]), Blob([0]), Blob([255]), Blob([1, 2])]])
                #expect(rows.map { $0[0] as String? } == texts)
                #expect(rows.map { $0[1] as Int64? } == numbers)
                #expect(rows.map { ($0[2] as TextBytes?)?.bytes } == bytes.map { $0?.bytes })
                #expect(rows.map { $0[3] as Bool } == [true, false, true, false])
                #expect(rows.map { $0[4] as Blob } == [Blob([]), Blob([0]), Blob([255]), Blob([1, 2])])
                let found = try db.fetchOne(
                    "SELECT array_position($1::text[], NULL), array_position($2::text[], NULL), cardinality($3::bigint[])",
                    [texts, ["a", "b"], [nil, nil] as [Int64?]])!
                #expect(found[0] as Int? == 2 && found[1] as Int? == nil && found[2] as Int == 2)
            }
        }
    }

    @Test("only readers may have other processes help them")
    func processes() async throws {
        try await withPool { pool in
            let asking: @Sendable (Database) throws -> String? = {
                try String.fetchOne($0, sql: "SELECT current_setting('max_parallel_workers_per_gather')")
            }
            let (writing, following) = (try await pool.write(asking), try await pool.follow(asking))
            let (controlling, reading) = (try await pool.readControl(asking), try await pool.read(asking))
            #expect([writing, following, controlling] == ["0", "0", "0"] && reading != "0")
        }
    }

    @Test("a text keeps its NUL, and every other character")
    func nul() async throws {
        try await withPool { pool in
            let texts = ["\0", "a\0b\0", "\u{1A}", "\u{1A}0\0\u{1A}1", "\u{1}ann", "plain", "", String(repeating: "x\0", count: 40_000)]
            let (each, all) = try await pool.read { db in
                let each = try texts.map { try String.fetchOne(db, sql: "SELECT $1::text", arguments: [$0]) }
                return (each, try [String].fetchOne(db, sql: "SELECT $1::text[]", arguments: [texts]))
            }
            #expect(each == texts && all == texts)
            let bytes = try await pool.read {
                try TextBytes.fetchOne($0, sql: "SELECT $1", arguments: [TextBytes([65, 0, 26, 66])])?.bytes
            }
            #expect(bytes == [65, 0, 26, 66])
        }
    }

    @Test("statements of a pipeline are answered each in its place, and none is run after one that fails")
    func pipeline() async throws {
        try await withPool { pool in
            try await pool.write { try $0.executeScript("CREATE TABLE t (n bigint PRIMARY KEY); CREATE TABLE u (n bigint)") }
            try await pool.write { db in
                var pipeline = Pipeline()
                let insert = pipeline.add("INSERT INTO t SELECT * FROM unnest($1)", [[1, 2, 3]])
                let all = pipeline.add("SELECT n FROM t WHERE n > $1 ORDER BY n", [1])
                let answers = try db.run(pipeline)
                #expect(answers[insert].changesCount == 3)
                #expect(answers[all].map { $0[0] as Int } == [2, 3])
            }
            await #expect {
                try await pool.write { db in
                    var pipeline = Pipeline()
                    pipeline.add("INSERT INTO u VALUES (1)")
                    pipeline.add("INSERT INTO t VALUES ($1)", [1])
                    pipeline.add("INSERT INTO u VALUES (2)")
                    _ = try db.run(pipeline)
                }
            } throws: { ($0 as? DatabaseError)?.cause == .server("23505") }
            // The connection goes on to work, and has kept nothing.
            #expect(try await pool.write { try Int.fetchOne($0, sql: "SELECT count(*) FROM u") } == 0)
            try await pool.write { db in
                var pipeline = Pipeline()
                pipeline.add("INSERT INTO u VALUES ($1)", [5])
                try db.commit(with: pipeline)
            }
            #expect(try await pool.read { try Int.fetchAll($0, sql: "SELECT n FROM u") } == [5])
        }
    }

    @Test("more than the sockets hold goes both ways in one pipeline")
    func large() async throws {
        try await withPool { pool in
            let text = String(repeating: "0123456789", count: 100_000)
            let lengths = try await pool.read { db in
                var pipeline = Pipeline()
                let places = (0..<20).map { _ in pipeline.add("SELECT $1", [text]) }
                let answers = try db.run(pipeline)
                return places.map { (answers[$0][0][0] as String).utf8.count }
            }
            #expect(lengths == Array(repeating: 1_000_000, count: 20))
        }
    }

    @Test("a transaction that throws leaves nothing behind, one that returns is committed")
    func transactions() async throws {
        struct Stop: Error {}
        try await withPool { pool in
            try await pool.write { try $0.executeScript("CREATE TABLE t (n bigint)") }
            await #expect(throws: Stop.self) {
                try await pool.write { db in
                    try db.execute("INSERT INTO t VALUES (1)")
                    throw Stop()
                }
            }
            try await pool.write { _ = try $0.execute("INSERT INTO t VALUES (2)") }
            #expect(try await pool.read { try Int.fetchAll($0, sql: "SELECT n FROM t") } == [2])
            await #expect { try await pool.read { _ = try $0.execute("INSERT INTO t VALUES (3)") } } throws: {
                ($0 as? DatabaseError)?.cause == .server("25006")
            }
        }
    }

    @Test("a connection that was ended is replaced, and what was not committed is done again")
    func ended() async throws {
        try await withPool({ ($0.maximumWriters, $0.maximumReaders) = (1, 1) }) { pool in
            try await pool.write { try $0.executeScript("CREATE TABLE t (n bigint)") }
            let tries = Counter()
            try await pool.write { db in
                try db.execute("INSERT INTO t VALUES (1)")
                if tries.next() == 1 { try db.execute("SELECT pg_terminate_backend(pg_backend_pid())") }
            }
            #expect(tries.value == 2)
            let process = try await pool.write { try Int.fetchOne($0, sql: "SELECT pg_backend_pid()")! }
            try await pool.read { _ = try $0.execute("SELECT pg_terminate_backend($1::int4)", [process]) }
            #expect(try await pool.write { try Int.fetchOne($0, sql: "SELECT pg_backend_pid()")! } != process)
            #expect(try await pool.read { try Int.fetchAll($0, sql: "SELECT n FROM t") } == [1])
        }
    }

    @Test("two that wait for each other both come through")
    func deadlock() async throws {
        try await withPool { pool in
            try await pool.write {
                try $0.executeScript("CREATE TABLE t (n bigint PRIMARY KEY, v bigint); INSERT INTO t VALUES (1, 0), (2, 0)")
            }
            let both = Barrier(2)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for order in [[1, 2], [2, 1]] {
                    group.addTask {
                        try await pool.write { db in
                            try db.execute("UPDATE t SET v = v + 1 WHERE n = $1", [order[0]])
                            both.wait()
                            try db.execute("UPDATE t SET v = v + 1 WHERE n = $1", [order[1]])
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await pool.read { try Int.fetchAll($0, sql: "SELECT v FROM t") } == [2, 2])
        }
    }

    @Test("too many who wait are told that it is too much, and who waits too long")
    func bounds() async throws {
        try await withPool({ ($0.maximumReaders, $0.maximumWaiting, $0.longestWait) = (1, 1, .milliseconds(200)) }) { pool in
            let causes = await withTaskGroup(of: DatabaseError.Cause?.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        do {
                            try await pool.read { _ = try $0.execute("SELECT pg_sleep(0.6)") }
                            return nil
                        } catch { return (error as? DatabaseError)?.cause }
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(causes.count { $0 == nil } == 1 && causes.count { $0 == .overloaded } == 3)
            let one = try await pool.read { try Int.fetchOne($0, sql: "SELECT 1") }
            #expect(one == 1)
        }
    }

    @Test("a server that is not there is said so at once and without the password")
    func absent() async throws {
        let configuration = Pool.Configuration(
            connection: "host=127.0.0.1 port=1 user=parley password=open-sesame dbname=parley")
        let pool = Pool(configuration, logger: Logger(label: "test"))
        defer { pool.close() }
        for _ in 0..<3 {
            await #expect {
                try await pool.read { _ = try $0.execute("SELECT 1") }
            } throws: { error in
                guard let error = error as? DatabaseError else { return false }
                return error.cause == .disconnected && error.sinkFailure.cause == .unavailable && !"\(error)".contains("sesame")
            }
        }
        #expect("\(ConnectionString("password=open-sesame"))" == "***")
        #expect(throws: DatabaseError.self) { try ConnectionString("password=open-sesame host").parameters() }
    }

    @Test("Kerberos is left alone, unless somebody asks for it")
    func kerberos() throws {
        func mode(_ text: String) throws -> String? {
            try ConnectionString(text).parameters().last { $0.keyword == "gssencmode" }?.value
        }
        #expect(try mode("postgresql://parley@db.example/parley") == "disable")
        #expect(try mode("postgresql://parley@db.example/parley?gssencmode=require") == "require")
        #expect(try mode("service=parley") == nil)
    }

    @Test("a statement that takes too long is ended")
    func timeout() async throws {
        try await withPool({ $0.statementTimeout = .milliseconds(200) }) { pool in
            await #expect { try await pool.read { _ = try $0.execute("SELECT pg_sleep(30)") } } throws: {
                ($0 as? DatabaseError)?.cause == .server("57014")
            }
            let one = try await pool.read { try Int.fetchOne($0, sql: "SELECT 1") }
            #expect(one == 1)
        }
        try await withPool({ ($0.patience, $0.maximumReaders) = (.milliseconds(200), 1) }) { pool in
            await #expect { try await pool.read { _ = try $0.execute("SELECT pg_sleep(2)") } } throws: {
                ($0 as? DatabaseError)?.cause == .timedOut
            }
            let one = try await pool.read { try Int.fetchOne($0, sql: "SELECT 1") }
            #expect(one == 1)
        }
    }
}
