import Events
import Testing

@Suite("JSON")
struct JSONTests {
    private func minified(_ text: String) throws -> String { try JSONDocument.read(Array(text.utf8)) { JSONText($0).string } }

    private func fault(_ bytes: [UInt8]) -> JSONDocument.Fault? {
        do {
            try JSONDocument.read(bytes) { _ in }
            return nil
        } catch { return error as? JSONDocument.Fault }
    }

    private func nested(_ depth: Int, around innermost: String, open: String = "[", close: String = "]") -> [UInt8] {
        Array((String(repeating: open, count: depth) + innermost + String(repeating: close, count: depth)).utf8)
    }

    @Test(
        "a value is written again as it was read, without white space",
        arguments: [
            (#" { "b" : [ 1 , true , false , null ] , "a" : "x" } "#, #"{"b":[1,true,false,null],"a":"x"}"#),
            ("[]", "[]"), ("{}", "{}"), ("[{},[]]", "[{},[]]"), ("\"\"", "\"\""), ("null", "null"),
            (#""\u0048ello \/ \"x\" \\ \b\f\n\r\t\u0000\u001f""#, #""Hello / \"x\" \\ \u0008\u000c\n\r\t\u0000\u001f""#),
            (#""\ud83d\ude00 😀 é \u00e9""#, #""😀 😀 é é""#),
            (#"{"":1,"\n":2}"#, #"{"":1,"\n":2}"#),
        ])
    func writesAgain(_ text: String, _ expected: String) throws {
        #expect(try minified(text) == expected)
        #expect(try minified(expected) == expected)
    }

    @Test(
        "a number keeps its value",
        arguments: [
            ("0", "0"), ("-0", "0"), ("-1", "-1"), ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("18446744073709551615", "18446744073709551615"), ("0.5", "0.5"), ("1e3", "1000.0"), ("-2.5E-3", "-0.0025"),
            ("0.1", "0.1"), ("1e21", "1e+21"), ("5e-324", "5e-324"), ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ])
    func numbers(_ text: String, _ expected: String) throws {
        #expect(try minified(text) == expected)
        let (before, after) = try (JSONDocument.read(Array(text.utf8)) { $0.double }, JSONDocument.read(Array(expected.utf8)) { $0.double })
        #expect(before == after)
    }

    @Test(
        "an integer beyond 64 bits becomes a double",
        arguments: [
            ("18446744073709551616", 18446744073709551616.0), ("-9223372036854775809", -9223372036854775809.0),
            ("123456789012345678901234567890", 1.2345678901234568e29),
        ])
    func bigIntegers(_ text: String, _ expected: Double) throws {
        #expect(try JSONDocument.read(Array(text.utf8)) { $0.double } == expected)
        #expect(try JSONDocument.read(Array(#"{"n":[\#(text),1]}"#.utf8)) { $0["n"]?.count } == 2)
    }

    @Test("mending one place leaves every other value as it was")
    func mendsOnlyWhatIsBroken() throws {
        let sound = [
            #"{"n":9223372036854775807}"#, #"{"n":18446744073709551615}"#, #"{"n":1234567890123456789.5}"#,
            #"{"n":"18446744073709551616"}"#,
        ]
        for value in sound {
            let alone = try minified(value)
            #expect(try minified("[\(value),\"\\ud83d\"]") == "[\(alone),\"\u{FFFD}\"]")
            #expect(try minified("[\(value),18446744073709551616]").hasPrefix("[\(alone),"))
        }
    }

    @Test(
        "half a surrogate pair becomes U+FFFD and costs nothing around it",
        arguments: [
            (#""\ud83d""#, "\u{FFFD}"), (#""\ude00""#, "\u{FFFD}"), (#""a\ud83db""#, "a\u{FFFD}b"), (#""\ud83d\u0041""#, "\u{FFFD}A"),
            (#""\ud83d\ud83d\ude00""#, "\u{FFFD}😀"), (#""\ude00\ud83d""#, "\u{FFFD}\u{FFFD}"), (#""\uD83D\n""#, "\u{FFFD}\n"),
            (#""\ud83d\\u0041""#, "\u{FFFD}\\u0041"), (#""\\ud83d""#, "\\ud83d"), (#""\ud83d\ude00""#, "😀"),
        ])
    func surrogates(_ text: String, _ expected: String) throws {
        #expect(try JSONDocument.read(Array(text.utf8)) { $0.string } == expected)
        #expect(try JSONDocument.read(Array(#"{"k":\#(text)}"#.utf8)) { $0["k"]?.string } == expected)
    }

    @Test("a lone surrogate in a key is mended too")
    func surrogateKey() throws {
        #expect(try minified(#"{"\udc00":1}"#) == "{\"\u{FFFD}\":1}")
    }

    @Test("64 levels are read and 65 are too deep, whatever stands innermost", arguments: ["", "1", "\"x\""])
    func depth(_ innermost: String) {
        #expect(fault(nested(64, around: innermost)) == nil)
        #expect(fault(nested(65, around: innermost)) == .tooDeep)
        #expect(fault(nested(100_000, around: innermost)) == .tooDeep)
        let value = innermost.isEmpty ? "{}" : innermost
        let levels = innermost.isEmpty ? 63 : 64
        #expect(fault(nested(levels, around: value, open: #"{"a":"#, close: "}")) == nil)
        #expect(fault(nested(levels + 1, around: value, open: #"{"a":"#, close: "}")) == .tooDeep)
    }

    @Test(
        "what is no JSON is malformed",
        arguments: [
            "", " ", "{", "[1,]", "{\"a\":1,}", "{a:1}", "{'a':1}", "nul", "01", "1.", ".5", "+1", "-", "1e", "NaN", "Infinity", "1e400",
            "\"a", "\"\\x\"",
            "\"\\u12\"", "\"\\u12g4\"", "\"a\nb\"", "[1 2]", "{\"a\" 1}", "1 2", "{}{}", "//x\n1", "\"\\ud83\"", "[\"\\ud83d\",]",
        ])
    func malformed(_ text: String) { #expect(fault(Array(text.utf8)) == .malformed) }

    @Test(
        "bytes that are not UTF-8 are told from broken JSON",
        arguments: [
            [0xFF], [0xC0, 0xAF], [0xE2, 0x82], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0x80], [0xF0, 0x9F, 0x98],
        ] as [[UInt8]])
    func invalidUTF8(_ bytes: [UInt8]) { #expect(fault([0x22] + bytes + [0x22]) == .invalidUTF8) }

    @Test("of two members with one name the last counts")
    func repeatedMember() throws {
        #expect(try JSONDocument.read(Array(#"{"a":1,"b":2,"a":3}"#.utf8)) { $0["a"]?.integer } == 3)
    }

    @Test("values answer to what they are and to nothing else")
    func kinds() throws {
        try JSONDocument.read(
            Array(#"{"o":{"x":1},"a":[1,2,3],"s":"t","i":7,"d":1.5,"w":1e3,"u":18446744073709551615,"t":true,"f":false,"n":null}"#.utf8)
        ) { json in
            #expect(json.kind == .object && json.count == 10 && json.keyCount == 11)
            #expect(json["o"]?.kind == .object && json["a"]?.kind == .array && json["a"]?.count == 3)
            #expect(json["s"]?.string == "t" && json["s"]?.double == nil && json["s"]?.bool == nil)
            #expect(json["i"]?.integer == 7 && json["i"]?.double == 7 && json["i"]?.string == nil)
            #expect(json["w"]?.integer == 1000)
            #expect(json["u"]?.integer == nil && json["u"]?.double == 0x1p64)
            #expect(json["t"]?.bool == true && json["f"]?.bool == false && json["n"]?.bool == nil)
            #expect(json["n"]?.isNull == true && json["missing"] == nil)
            #expect(json["a"]?["x"] == nil)
        }
    }

    @Test("a number with a fraction is no integer")
    func fraction() throws {
        #expect(try JSONDocument.read(Array("1.5".utf8)) { $0.integer } == nil)
    }

    @Test(
        "texts that differ only in the order of members are equal, at every depth",
        arguments: [
            (#"{"a":1,"b":2}"#, #"{"b":2,"a":1}"#, true),
            (#"{"x":[{"a":1,"b":{"c":1,"d":2}}],"y":0}"#, #"{"y":0,"x":[{"b":{"d":2,"c":1},"a":1}]}"#, true),
            (#"{"é":1,"z":2,"":3}"#, #"{"":3,"z":2,"\u00e9":1}"#, true),
            (#"{"a":"A"}"#, #"{ "a" : "\u0041" }"#, true),
            (#"[1,2]"#, #"[2,1]"#, false), (#"{"a":1}"#, #"{"a":2}"#, false), (#"{"a":1}"#, #"{"b":1}"#, false),
            (#"{"a":{"b":1},"c":2}"#, #"{"a":{"b":1,"c":2}}"#, false), (#"{"a":null}"#, #"{}"#, false), (#"["1"]"#, #"[1]"#, false),
        ])
    func canonical(_ first: String, _ second: String, _ areEqual: Bool) throws {
        let texts = try [first, second].map { try JSONDocument.read(Array($0.utf8)) { JSONText($0) } }
        #expect((texts[0] == texts[1]) == areEqual)
        #expect((texts[0].canonical == texts[1].canonical) == areEqual)
        if areEqual { #expect(Set(texts).count == 1) }
    }

    @Test("members keep the order they were written in")
    func order() throws { #expect(try minified(#"{"b":1,"a":{"d":1,"c":2}}"#) == #"{"b":1,"a":{"d":1,"c":2}}"#) }

    @Test("every character survives writing and reading")
    func escapes() throws {
        var characters = (0..<0x300).compactMap(Unicode.Scalar.init)
        characters += [0x2028, 0x2029, 0xFEFF, 0xFFFD, 0xFFFF, 0x1F600, 0x10FFFF].compactMap(Unicode.Scalar.init)
        let text = String(String.UnicodeScalarView(characters))
        var writer = JSONWriter()
        writer.object { $0.field(text, text) }
        try JSONDocument.read(writer.bytes) { json in
            json.forEachMember { key, value in
                #expect(String(decoding: key, as: UTF8.self).unicodeScalars.elementsEqual(characters))
                #expect(value.string?.unicodeScalars.elementsEqual(characters) == true)
            }
            #expect(json.count == 1)
        }
    }

    @Test("the writer places commas and knows what JSON can't say")
    func writer() {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("a", 1)
            writer.field("b", 2.0)
            writer.field("c", 0.25)
            writer.field("d", Double.infinity)
            writer.field("e", Double.nan)
            writer.field("f", ["x", "y"])
            writer.field("g", JSONText(stringLiteral: "{\"z\":[]}"))
            writer.key("h")
            writer.array {
                $0.null(); $0.value(true); $0.object { _ in }; $0.array { _ in }; $0.value("")
            }
            writer.field(orNull: "i", nil as String?)
            writer.field(ifPresent: "j", nil as String?)
            writer.field("k", UInt64.max)
            writer.field("l", Timestamp(microseconds: 0))
        }
        writer.endLine()
        writer.array { _ in }
        #expect(
            writer.string == """
                {"a":1,"b":2,"c":0.25,"d":null,"e":null,"f":["x","y"],"g":{"z":[]},"h":[null,true,{},[],""],"i":null,\
                "k":18446744073709551615,"l":"1970-01-01T00:00:00.000Z"}
                []
                """)
    }

    @Test("one document does not leak into the next, large or small")
    func parsersAreReused() throws {
        for size in [10, 100_000, 3_000_000, 5] {
            let text = String(repeating: "x", count: size)
            #expect(
                try JSONDocument.read(Array("[\"\(text)\"]".utf8)) { json in
                    var count = 0
                    json.forEachElement { count = $0.utf8?.count ?? -1 }
                    return count
                } == size)
        }
        // A document may be read while another is open.
        let inner = try JSONDocument.read(Array("[1,2]".utf8)) { outer in
            try (JSONDocument.read(Array("{\"a\":3}".utf8)) { $0["a"]?.integer }, outer.count)
        }
        #expect(inner.0 == 3 && inner.1 == 2)
    }
}
