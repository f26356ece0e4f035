import Conversations
import Events
import HTTPTypes
import Synchronization
import Testing
@testable import Review

@Suite("Export")
struct ExportTests {
    @Test("JSON lines: each item as the conversation has it, with its thread in front")
    func lines() async throws {
        let answer = try await ReviewClient().ask("/v1/export", key: "sk_shop")
        let lines = [ThreadRoutesTests.m1, ThreadRoutesTests.m2, ThreadRoutesTests.e1].map { #"{"thread":"t-1",\#($0.dropFirst())"# }
        let run = #"{"thread":"t-1","type":"run",\#(ThreadRoutesTests.r9.dropFirst())"#
        let parts = answer.body.split(separator: "\n").map(String.init)
        #expect(parts.first?.hasPrefix(#"{"thread":"t-1","type":"thread","summary":{"id":"t-1","number":0,"#) == true)
        #expect(Array(parts.dropFirst()) == lines + [run])
        #expect(answer.headers[.contentType] == "application/x-ndjson")
        #expect(answer.headers[.contentDisposition] == #"attachment; filename="parley-shop.jsonl""#)
        #expect(answer.isWhole)
    }

    @Test("chat: a conversation a line, as data sets have it")
    func chat() async throws {
        let answer = try await ReviewClient().ask("/v1/export?format=chat", key: "sk_shop")
        let messages =
            #"{"role":"user","content":"=HYPERLINK(\"http://evil\")","id":"m1","at":"2026-11-18T11:06:40.000Z"},{"role":"assistant","content":[{"text":"Hi","type":"text"}],"id":"m2","at":"2026-11-18T11:06:42.000Z","feedback":{"up":1,"down":0}}"#
        #expect(
            answer.body
                == #"{"thread":"t-1","user":"u1","status":"inactive","tags":["vip"],"scores":[\#(ThreadRoutesTests.score)],"comments":[],"messages":[\#(messages)]}"#
                + "\n")
        #expect(answer.headers[.contentDisposition] == #"attachment; filename="parley-shop.chat.jsonl""#)
        #expect(try await ReviewClient().ask("/v1/export?format=xml", key: "sk_shop").status == 400)
    }

    @Test("CSV: a row an item, CRLF, and no formula")
    func table() async throws {
        let answer = try await ReviewClient().ask("/v1/export?format=csv", key: "sk_shop")
        #expect(
            answer.body == """
                thread,type,id,role,content,at,user,provenance,confirmation,up,down,scores,comments,threadUser,threadStatus,threadTags,threadScores\r
                t-1,message,m1,user,"'=HYPERLINK(""http://evil"")",2026-11-18T11:06:40.000Z,u1,claimed,,0,0,,,u1,inactive,vip,tone=0.5 (sdk)\r
                t-1,message,m2,assistant,"[{""text"":""Hi"",""type"":""text""}]",2026-11-18T11:06:42.000Z,,verified,,1,0,,,u1,inactive,vip,tone=0.5 (sdk)\r
                t-1,event,e1,,opened,2026-11-18T11:06:45.000Z,,anonymous,,0,0,,,u1,inactive,vip,tone=0.5 (sdk)\r

                """)
        #expect(answer.headers[.contentType] == "text/csv; charset=utf-8; header=present")
        #expect(answer.headers[.xContentTypeOptions] == "nosniff")
    }

    @Test(
        "a cell is quoted when it must be, and never begins a formula",
        arguments: [
            ("plain", "plain"), ("", ""), ("a,b", "\"a,b\""), ("say \"hi\"", "\"say \"\"hi\"\"\""), ("two\r\nlines", "\"two\r\nlines\""),
            ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "'\t=1"), ("\r=1", "\"'\r=1\""),
            ("=\"a\",b", "\"'=\"\"a\"\",b\""), ("1=1", "1=1"), ("é=", "é="),
        ])
    func cells(text: String, cell: String) {
        #expect(CSV.cell(text) == cell)
    }

    @Test("the filters of the list count, and a bad one is told before anything is sent")
    func filters() async throws {
        let client = ReviewClient()
        _ = try await client.ask("/v1/export?format=csv&tag=vip", key: "sk_shop")
        #expect(client.store.state.withLock { $0.filter?.tag } == "vip")
        #expect(try await client.ask("/v1/export?format=xml", key: "sk_shop").status == 400)
        #expect(try await client.ask("/v1/export?feedback=meh", key: "sk_shop").status == 400)
    }

    @Test("all pages of threads and items are walked, in chunks")
    func pages() async throws {
        let store = StubStore.filled()
        store.state.withLock { state in
            let one = state.conversations[StubStore.shop.number]![0]
            state.conversations[StubStore.shop.number] = (0..<250).map { number in
                var conversation = one
                conversation.thread.id = "t\(number)"
                if number == 0 { conversation.items = Array(repeating: one.items[0], count: 120) }
                return conversation
            }
        }
        let answer = try await ReviewClient(store: store).ask("/v1/export", key: "sk_shop")
        let lines = answer.body.split(separator: "\n")
        #expect(lines.count == 1367)  // the long one with its summary and its run, and five a thread for the other 249
        #expect(Set(lines.map { $0.prefix { $0 != "," } }).count == 250)
        #expect(answer.isWhole)
    }

    @Test("a fault on the way leaves the answer without an end")
    func cutShort() async throws {
        let store = StubStore.filled()
        let client = ReviewClient(store: store)
        store.state.withLock { state in
            let one = state.conversations[StubStore.shop.number]![0]
            // A page's worth, so that the walk goes back for a second one; by then the cursor is bad.
            state.conversations[StubStore.shop.number] = Array(repeating: one, count: 101)
            state.threadsBeforeFault = 1
        }
        let answer = try await client.ask("/v1/export", key: "sk_shop")
        #expect(answer.status == 200)
        #expect(!answer.isWhole)
    }
}
