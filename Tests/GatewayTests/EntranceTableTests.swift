import Events
import Ingest
import Keys
import Logging
import Testing
@testable import Gateway

@Suite("Ways to the entrances of doors")
struct EntranceTableTests {
    private struct Rooms: Door {
        let entrances: [Entrance] = []
        func decode(_ request: DoorRequest) throws(Refusal) -> Parcel { Parcel(items: []) }
        func reply(to verdicts: [Verdict], of parcel: Parcel, for request: DoorRequest) -> Reply { Reply(status: 200) }
        func reply(to refusal: Refusal, at entrance: Entrance, contentType: String?) -> Reply { Reply(status: 400) }
    }

    private func table(_ entrances: [(Entrance.Method, String, underAnyPrefix: Bool)]) -> EntranceTable {
        let logger = Logger(label: "test")
        let keys = KeyRing(store: MemoryControl(), logger: logger)
        let ingest = Ingest(keys: keys, commits: GroupCommit(sink: WillingSink(), logger: logger))
        return EntranceTable(
            entrances.map { method, path, prefixed in
                DoorRoute(
                    door: Rooms(),
                    entrance: Entrance(
                        method, path: path, underAnyPrefix: prefixed, transport: .http, publicBodyLimit: 1, secretBodyLimit: 1),
                    ingest: ingest, keys: keys, desk: { _, _ in NoDesk() }, addresses: ClientAddress(trustedProxies: []), clock: .system,
                    counters: Counters(), holdings: Holdings(total: 1 << 20))
            })
    }

    private func found(_ path: String, _ table: EntranceTable) -> [String] {
        table.matches(path).map { match in
            let parameters = match.parameters.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            return ([match.route.entrance.method.rawValue, match.route.entrance.path] + parameters).joined(separator: " ")
        }
    }

    @Test(
        "paths are found whole, behind a prefix, and with what stands for their parameters",
        arguments: [
            ("/v1/events", ["POST /v1/events"]), ("/x/v1/events", []), ("/v1/events/x", []), ("/", []), ("", []),
            ("/v1/runs/ingest", ["POST /v1/runs/ingest"]), ("//v1/runs/ingest", ["POST /v1/runs/ingest"]),
            ("/any/base/v1/runs/ingest", ["POST /v1/runs/ingest"]),
            ("/v1/runs/a%2Fb/feedback", ["GET /v1/runs/{id}/feedback id=a/b"]),
            ("/v1/runs/+/feedback", ["GET /v1/runs/{id}/feedback id=+"]),
            ("/base/traces/batch", ["PATCH /traces/batch", "POST /traces/batch"]), ("/base/traces/7", ["GET /traces/{id} id=7"]),
        ] as [(String, [String])])
    func paths(_ path: String, _ expected: [String]) {
        let table = table([
            (.post, "/v1/events", false), (.post, "/v1/runs/ingest", true), (.get, "/v1/runs/{id}/feedback", true),
            (.get, "/traces/{id}", true), (.post, "/traces/batch", true), (.patch, "/traces/batch", true),
        ])
        #expect(found(path, table).sorted() == expected)
    }

    @Test("a whole path goes before one behind a prefix")
    func wholeFirst() {
        let table = table([(.get, "/{a}/{b}", true), (.get, "/base/{a}/{b}", false)])
        #expect(found("/base/1/2", table) == ["GET /base/{a}/{b} a=1 b=2"])
        #expect(found("/other/1/2", table) == ["GET /{a}/{b} a=1 b=2"])
    }
}
