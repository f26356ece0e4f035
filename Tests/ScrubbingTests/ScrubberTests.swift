import Events
import Testing
@testable import Scrubbing

@Suite("Scrubbing")
struct ScrubberTests {
    private static let key = [UInt8](repeating: 7, count: 32)

    private func scrubber(_ rules: String..., key: [UInt8]? = key) throws -> Scrubber {
        try Scrubber(rules.map { try ScrubbingRule(text: $0) }, key: key)
    }

    private func event(_ json: String) throws -> Event { try JSONDocument.read(Array(json.utf8)) { try Event($0) } }

    private func scrubbed(_ json: String, _ scrubber: Scrubber) throws -> Event {
        var event = try event(json)
        _ = scrubber.scrub(&event)
        return event
    }

    // MARK: rules

    @Test(
        "a rule reads back from its text",
        arguments: [
            "email=mask", "card=remove@metadata", "phone=hash:tel@content,user.props.*.mobile", "pattern:ORDER-\\d+=hash:order@content",
            "pattern:a=mask@b=remove", "pattern:x=hash=mask:x", "email=hash@user.id",
        ])
    func text(rule: String) throws {
        let read = try ScrubbingRule(text: rule)
        #expect(read.text == rule)
        var writer = JSONWriter()
        writer.value(read)
        #expect(try JSONDocument.read(writer.bytes) { try ScrubbingRule($0) } == read)
    }

    @Test(
        "a rule that is none is refused",
        arguments: [
            "", "email", "email=", "email=blank", "mail=mask", "pattern:=mask", "pattern=mask", "email=mask:Shop Mail", "email=mask:",
            "email=mask@", "email=mask@a..b", "email=mask@metadata,", "=mask",
        ])
    func noRule(text: String) {
        #expect(throws: Refusal.self) { try scrubber(text) }
    }

    @Test(
        "a path to what others go by is refused by its name",
        arguments: ["id", "thread", "at", "role", "type", "target", "replyTo", "parent", "startedAt", "thread.x", "usage"])
    func fixedPath(path: String) {
        #expect {
            try scrubber("email=mask@\(path)")
        } throws: { error in
            (error as? Refusal)?.message.contains(path) ?? false
        }
    }

    @Test("users' IDs take hash alone")
    func userIDRule() throws {
        #expect(throws: Refusal.self) { try scrubber("email=mask@user.id") }
        _ = try scrubber("email=hash@user.id")
    }

    // MARK: actions

    @Test("remove, mask and hash leave what they say in a text's place")
    func actions() throws {
        let text = "to ann@shop.example"
        #expect(try scrubber("email=remove").scrub(text: text).text == "to [removed]")
        #expect(try scrubber("email=mask").scrub(text: text).text == "to [email]")
        #expect(try scrubber("email=mask:mail").scrub(text: text).text == "to [mail]")
        let hashed = try scrubber("email=hash").scrub(text: text).text
        #expect(hashed.wholeMatch(of: /to \[email:[0-9a-f]{16}\]/) != nil)
        #expect(try scrubber("email=hash", key: nil).scrub(text: text).text == "to [email]")
    }

    @Test("equal values have equal hashes however they are spelled, under one key and no other")
    func hashes() throws {
        func hash(_ rule: String, _ text: String, key: [UInt8] = Self.key) throws -> String {
            try scrubber(rule, key: key).scrub(text: text).text
        }
        #expect(try hash("email=hash", "Ann@Shop.example") == hash("email=hash", "ann@shop.example"))
        #expect(try hash("card=hash", "4111 1111-1111 1111") == hash("card=hash", "4111111111111111"))
        #expect(try hash("card=hash", "４１１１１１１１１１１１１１１１") == hash("card=hash", "4111111111111111"))
        #expect(try hash("iban=hash", "de89 3704 0044 0532 0130 00") == hash("iban=hash", "DE89370400440532013000"))
        #expect(try hash("phone=hash", "0049 30 1234567") == hash("phone=hash", "+49 (30) 123-4567"))
        #expect(try hash("email=hash", "ann@shop.example") != hash("email=hash", "bob@shop.example"))
        #expect(try hash("email=hash", "ann@shop.example") != hash("email=hash", "ann@shop.example", key: [UInt8](repeating: 8, count: 32)))
    }

    @Test("of rules that find the same place the first takes all of it")
    func overlap() throws {
        let text = "write ann@shop.example now"
        #expect(try scrubber("pattern:shop\\S+ now=mask:shop", "email=mask").scrub(text: text).text == "write [shop]")
        #expect(try scrubber("email=mask", "pattern:shop\\S+ now=mask:shop").scrub(text: text).text == "write [email]")
    }

    @Test("what was scrubbed stays as it is when it is scrubbed again")
    func again() throws {
        let scrubber = try scrubber(
            "email=hash", "card=mask", "phone=remove", "ip=hash", "iban=hash", "pattern:[a-z0-9:]{5,}=hash:word",
            "pattern:\\d{6}=mask:number")
        for value in 0..<500 {
            let text = "ann\(value)@shop.example 4111 1111 1111 1111, 030 1234\(100 + value); 192.0.2.\(value % 256) x 123456"
            let once = scrubber.scrub(text: text).text
            let twice = scrubber.scrub(text: once)
            #expect(twice.text == once)
            #expect(twice.findings.isEmpty)
        }
    }

    @Test("findings are counted by the rule that found them")
    func counts() throws {
        let scrubber = try scrubber("email=mask", "card=mask", "pattern:[Oo]rder=mask:email")
        let findings = scrubber.scrub(text: "a@b.example c@d.example 4111111111111111 order").findings
        #expect(findings.counts == [0: 2, 1: 1, 2: 1])
        #expect(scrubber.names(findings).map(\.name) == ["email", "card"])
        #expect(scrubber.names(findings).map(\.count) == [3, 1])
    }

    // MARK: events

    @Test(
        "a rule without a path looks everywhere a person's words may stand",
        arguments: [
            #"{"type":"message","id":"1","thread":"t","role":"user","content":"a@b.example"}"#,
            #"{"type":"message","id":"1","thread":"t","role":"user","content":[{"type":"text","text":"a@b.example"},{"type":"image"}]}"#,
            #"{"type":"message","id":"1","thread":"t","role":"user","content":"","metadata":{"order":{"emails":["x",["a@b.example"]]}}}"#,
            #"{"type":"message","id":"1","thread":"t","role":"user","content":"","user":{"id":"u","props":{"mail":"a@b.example"}}}"#,
            #"{"type":"message","id":"1","thread":"t","role":"user","content":"","tags":["a@b.example"]}"#,
            #"{"type":"message","id":"1","thread":"t","role":"user","content":"","later":{"x":"a@b.example"}}"#,
            #"{"type":"event","id":"1","name":"searched a@b.example"}"#,
            #"{"type":"feedback","id":"1","target":"m","thumb":"up","comment":"a@b.example"}"#,
            #"{"type":"identify","id":"1","user":{"id":"u","props":{"a":{"b":"a@b.example"}}}}"#,
            #"{"type":"run","id":"1","kind":"llm","input":{"messages":[{"content":"a@b.example"}]}}"#,
            #"{"type":"run","id":"1","kind":"llm","output":"a@b.example"}"#,
            #"{"type":"run","id":"1","kind":"llm","error":{"message":"a@b.example"}}"#,
            #"{"type":"run","id":"1","kind":"llm","question":"a@b.example"}"#,
            #"{"type":"run","id":"1","kind":"llm","answer":"a@b.example","name":"mail a@b.example"}"#,
            #"{"type":"run","id":"1","kind":"llm","extra":{"x":"a@b.example"},"tags":["a@b.example"]}"#,
            #"{"type":"score","id":"1","target":"m","name":"q","value":1,"reason":"a@b.example"}"#,
            #"{"type":"score","id":"1","target":"m","name":"q","category":"a@b.example"}"#,
            #"{"type":"comment","id":"1","target":"m","text":"a@b.example"}"#,
            #"{"type":"thread","id":"1","thread":"t","tags":["a@b.example"],"untag":["a@b.example"]}"#,
            #"{"type":"later","id":"1","words":["a@b.example"]}"#,
        ])
    func everywhere(json: String) throws {
        let event = try scrubbed(json, try scrubber("email=mask"))
        let text = event.json().string
        #expect(!text.contains("a@b.example"), "\(text)")
        #expect(text.contains("[email]"))
        #expect(try self.event(text) == event)
    }

    @Test("IDs, threads, roles, times, keys' names and users' IDs stay")
    func fixed() throws {
        let json = """
            {"type":"message","id":"id@b.example","thread":"t@b.example","at":"2026-11-21T12:00:00.000Z","user":{"id":"u@b.example"},\
            "metadata":{"key@b.example":1},"role":"user","content":"x","replyTo":"r@b.example","retryOf":"y@b.example","trace":"z@b.example"}
            """
        let event = try event(json)
        #expect(try scrubbed(json, try scrubber("email=mask", "pattern:\\w+=mask@metadata")) == event)
        let run =
            #"{"type":"run","id":"i@b.example","kind":"llm","parent":"p@b.example","model":"m@b.example","within":"w@b.example","trace":"t@b.example","linkedTraces":["l@b.example"]}"#
        #expect(try scrubbed(run, try scrubber("email=mask")) == self.event(run))
    }

    @Test("a user's ID is hashed where a path says so, and cut by no bound")
    func userID() throws {
        let scrubber = try scrubber("email=hash@user.id,content")
        let json = #"{"type":"message","id":"1","thread":"t","role":"user","content":"U@b.example","user":{"id":"u@b.example"}}"#
        let event = try scrubbed(json, scrubber)
        #expect(event.user?.id.wholeMatch(of: /\[email:[0-9a-f]{16}\]/) != nil)
        guard case .message(let message) = event.body, case .text(let text) = message.content else { throw Refusal(.internal) }
        #expect(text == event.user?.id)
        let long = String(repeating: "x y", count: 39) + " u@b.ex"
        let longer = try scrubbed(#"{"type":"identify","id":"1","user":{"id":"\#(long)"}}"#, scrubber)
        #expect(longer.user!.id.unicodeScalars.count <= Event.Bounds.id)
        #expect(longer.user!.id.wholeMatch(of: /\[email:[0-9a-f]{16}\]/) != nil)
    }

    @Test(
        "a path covers what it names and all that lies in it",
        arguments: [
            ("metadata.order.email", ["a"]), ("metadata.order", ["a", "b"]), ("metadata.*.email", ["a", "c"]),
            ("metadata.**.email", ["a", "c"]),
            ("metadata", ["a", "b", "c"]), ("metadata.**", ["a", "b", "c"]), ("**.email", ["a", "c"]), ("content", ["d"]),
            ("*", ["a", "b", "c", "d"]),
            ("metadata.list", ["c"]), ("content,metadata.order.name", ["b", "d"]), ("nothing", []),
        ])
    func paths(path: String, changed: [String]) throws {
        let json = """
            {"type":"message","id":"1","thread":"t","role":"user","content":[{"type":"text","text":"d@b.example"}],\
            "metadata":{"order":{"email":"a@b.example","name":"b@b.example"},"list":[{"email":"c@b.example"}]}}
            """
        let text = try scrubbed(json, try scrubber("email=mask@\(path)")).json().string
        #expect(["a", "b", "c", "d"].filter { !text.contains("\($0)@b.example") } == changed)
    }

    @Test("a whole number that is a card's becomes its mask, others stay numbers")
    func numbers() throws {
        let json = #"{"type":"event","id":"1","name":"paid","metadata":{"card":4111111111111111,"at":1795229470887,"n":[1,2.5,-3]}}"#
        let event = try scrubbed(json, try scrubber("card=mask", "phone=mask"))
        #expect(event.metadata == #"{"at":1795229470887,"card":"[card]","n":[1,2.5,-3]}"#)
    }

    @Test("what a text was shown like goes with a text that was changed, and stays with another")
    func deltas() throws {
        func metadata(_ content: String) throws -> JSONText? {
            let json =
                #"{"type":"message","id":"1","thread":"t","role":"assistant","content":"\#(content)","metadata":{"deltas":[[0,4111111111111111]],"x":1}}"#
            return try scrubbed(json, try scrubber("email=mask", "card=mask")).metadata
        }
        #expect(try metadata("a@b.example") == #"{"x":1}"#)
        #expect(try metadata("no mail") == #"{"deltas":[[0,4111111111111111]],"x":1}"#)
    }

    @Test("a label that grows is cut to its bound, so that it can be read back")
    func bounds() throws {
        let tag = String(repeating: "x", count: 50) + " a@b.example"
        let event = try scrubbed(#"{"type":"thread","id":"1","thread":"t","tags":["\#(tag)"]}"#, try scrubber("email=hash"))
        #expect(try self.event(event.json().string) == event)
        guard case .thread(let patch) = event.body else { throw Refusal(.internal) }
        #expect(patch.tags[0].count == Event.Bounds.tag)
    }

    @Test("the order of members makes no difference to what is scrubbed")
    func order() throws {
        let scrubber = try scrubber("email=hash", "card=mask")
        let one = try scrubbed(
            #"{"type":"event","id":"1","name":"n","metadata":{"b":"a@b.example","a":[{"z":1,"y":"4111111111111111"}]}}"#, scrubber)
        let two = try scrubbed(
            #"{"metadata":{"a":[{"y":"4111111111111111","z":1}],"b":"a@b.example"},"name":"n","id":"1","type":"event"}"#, scrubber)
        #expect(ContentDigest(one) == ContentDigest(two))
    }

    @Test("what could not become an event is scrubbed in all its strings but what looks like an ID")
    func refused() throws {
        let json = """
            {"type":"message","id":"i@b.example","thread":7,"role":"a@b.example","content":{"text":"c@b.example","runId":"d@b.example"},\
            "metadata":{"deltas":[[1,2]],"mail":"e@b.example","card":4111111111111111},"user":{"id":"f@b.example","props":"g@b.example"},\
            "userId":"h@b.example","message":{"id":"j@b.example","content":"k@b.example"}}
            """
        let payload = try JSONDocument.read(Array(json.utf8)) { JSONText($0) }
        var item = Parcel.Item.refused(RefusedItem(id: "1", type: "message", refusal: Refusal(.invalidField), payload: payload))
        let findings = try scrubber("email=mask", "card=mask").scrub(&item)
        guard case .refused(let refused) = item, let text = refused.payload?.string else { throw Refusal(.internal) }
        #expect(
            text == """
                {"type":"message","id":"i@b.example","thread":7,"role":"a@b.example","content":{"text":"[email]","runId":"d@b.example"},\
                "metadata":{"mail":"[email]","card":"[card]"},"user":{"id":"f@b.example","props":"[email]"},\
                "userId":"h@b.example","message":{"id":"j@b.example","content":"[email]"}}
                """)
        #expect(findings.counts == [0: 4, 1: 1])
    }

    @Test("an event with nothing to find is the same object, to its last byte")
    func untouched() throws {
        let json =
            #"{"type":"message","id":"1","thread":"t","role":"user","content":"5 @ 3, 12:30, 030","metadata":{"z":[1795229470887],"a":"x"}}"#
        var event = try event(json)
        let before = event
        #expect(try scrubber("email=mask", "phone=mask", "card=mask", "iban=mask", "ip=mask").scrub(&event).isEmpty)
        #expect(event == before)
        #expect(event.metadata?.bytes == before.metadata?.bytes)
    }

    @Test("changes are told with their field, for people to look at")
    func notes() throws {
        var event = try event(#"{"type":"event","id":"1","name":"n","metadata":{"order":{"mails":["to a@b.example, c@d.example"]}}}"#)
        var noted: [ScrubbedText] = []
        _ = try scrubber("email=mask").scrub(&event) { noted.append($0) }
        #expect(noted.map(\.path) == ["metadata.order.mails"])
        #expect(noted[0].before == "to a@b.example, c@d.example")
        #expect(noted[0].after == "to [email], [email]")
        #expect(noted[0].changes.map(\.text) == ["a@b.example", "c@d.example"])
    }
}
