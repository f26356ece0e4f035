import Events
import Testing

@Suite("JSON as senders really write it")
struct TolerantJSONTests {
    private func read(_ text: String, tolerant: Bool = true) -> String? {
        try? JSONDocument.read(Array(text.utf8), tolerant: tolerant) { JSONText($0).string }
    }

    private func pieces(_ text: String, under key: StaticString? = nil) -> [String]? {
        JSONPieces.split(Array(text.utf8), under: key)?.map { String(decoding: $0, as: UTF8.self) }
    }

    @Test(
        "NaN and the infinities are null where they are told to be, and broken JSON elsewhere",
        arguments: [
            ("NaN", "null"), ("[NaN,Infinity,-Infinity]", "[null,null,null]"), (#"{"v": NaN }"#, #"{"v":null}"#),
            (#"{"v":-Infinity,"w":1.5e3}"#, #"{"v":null,"w":1500.0}"#),
            (#"[NaN,"NaN","-Infinity \"NaN"]"#, #"[null,"NaN","-Infinity \"NaN"]"#),
            (#"[NaN,"a\ud800b",1180591620717411303424]"#, "[null,\"a\u{FFFD}b\",1.1805916207174113e+21]"),
        ])
    func nonNumbers(_ text: String, _ expected: String) {
        #expect(read(text) == expected)
        #expect(read(text, tolerant: false) == nil)
    }

    @Test(
        "tolerance does not reach further",
        arguments: ["nan", "NaNs", "-NaN", "xNaN", "Infinity1", "[NaN", "{NaN:1}", "undefined", "[1,]", "N", "-I", "{\"a\":NaN", "'NaN'"])
    func stillBroken(_ text: String) { #expect(read(text) == nil) }

    @Test("what is sound is read the same with tolerance", arguments: ["[]", #"{"NaN":"Infinity"}"#, "-1", "[1e3,-0.5]"])
    func sound(_ text: String) { #expect(read(text) == read(text, tolerant: false)) }

    @Test(
        "a list falls into its elements, whatever is in them",
        arguments: [
            ("[]", []), (" [ ] ", []), ("[1]", ["1"]),
            (#"[ {"a":[1,2]} , "x,]" ,[[]],null ]"#, [#"{"a":[1,2]}"#, #""x,]""#, "[[]]", "null"]),
            (#"["\\","\"]",2]"#, [#""\\""#, #""\"]""#, "2"]), ("[NaN, nonsense here ,{]},3]", ["NaN", "nonsense here", "{]", "3"]),
            ("[1,,2,]", ["1", "2"]), ("[1,2", ["1", "2"]), (#"[1,{"a":"b"#, ["1", #"{"a":"b"#]), (#"["a\"#, [#""a\"#]), ("[", []),
            ("[1}2]", ["1", "2"]),
        ] as [(String, [String])])
    func elements(_ text: String, _ expected: [String]) {
        #expect(pieces(text) == expected)
        #expect(pieces(#"{"before":{"events":[0]},"events" : \#(text)"#, under: "events") == expected)
        #expect(pieces(text, under: "events") == expected)
    }

    @Test("an object in the list's place is its only piece")
    func single() { #expect(pieces(#"{"events":{"a":1} , "b":2}"#, under: "events") == [#"{"a":1}"#]) }

    @Test(
        "without such a list there are no pieces",
        arguments: [
            "", " ", "1", "null", #""events""#, "{", "{}", #"{"events""#, #"{"events":"#, #"{"events":1}"#, #"{"events":"[1]"}"#,
            #"{"a":[1]}"#,
            #"{"a":"#, "{events:[1]}", #"{"a" [1]}"#, #"{"a":1 "events":[1]}"#, #"{""#, #"{"a\"#,
        ])
    func none(_ text: String) { #expect(pieces(text, under: "events") == nil) }

    @Test("an object has no pieces where no member is named")
    func unnamed() { #expect(pieces(#"{"events":[1]}"#) == nil) }

    @Test("half a million levels, or half a million elements, cost neither stack nor patience")
    func large() {
        let deep = String(repeating: "[", count: 500_000)
        #expect(pieces("[1,\(deep)")?.count == 2)
        #expect(pieces("[" + String(repeating: "{},", count: 500_000) + "1]")?.count == 500_001)
    }

    @Test("bytes that are not UTF-8 stay in their piece")
    func invalidUTF8() {
        let bytes = Array("[1,\"".utf8) + [0xFF, 0x80] + Array("\",2]".utf8)
        #expect(JSONPieces.split(bytes)?.map(Array.init) == [[0x31], [0x22, 0xFF, 0x80, 0x22], [0x32]])
    }
}
