import Events
import Testing
@testable import Review

@Suite("Markdown as nodes")
struct MarkdownTests {
    private func nodes(_ text: String, whole: Bool = false) -> String {
        switch Markdown.render(text, whole: whole) {
        case .nodes(let json): json.string
        case .excess(let kind): kind.rawValue
        }
    }

    @Test(
        "each construct becomes the element of its name",
        arguments: [
            (
                "Hello *you* **there** ~~not~~ `x<y`",
                #"[["p","Hello ",["em","you"]," ",["strong","there"]," ",["del","not"]," ",["code","x<y"]]]"#
            ),
            ("# One\n\n###### Six", #"[["h1","One"],["h6","Six"]]"#),
            ("a\nb  \nc", #"[["p","a",["br"],"b",["br"],"c"]]"#),
            ("- a\n- b\n  - c", #"[["ul",["li","a"],["li","b",["ul",["li","c"]]]]]"#),
            ("- a\n\n- b", #"[["ul",["li",["p","a"]],["li",["p","b"]]]]"#),
            ("3. a\n4. b", #"[["ol",{"start":3},["li","a"],["li","b"]]]"#),
            ("1. a", #"[["ol",["li","a"]]]"#),
            ("- [x] done\n- [ ] open", #"[["ul",["li",{"checked":true},"done"],["li",{"checked":false},"open"]]]"#),
            ("> a\n>\n> > b", #"[["blockquote",["p","a"],["blockquote",["p","b"]]]]"#),
            ("```swift x\nlet a = 1\n```", #"[["pre",{"lang":"swift"},["code","let a = 1\n"]]]"#),
            ("    indented", #"[["pre",["code","indented\n"]]]"#),
            ("---", #"[["hr"]]"#),
            (
                "|a|b|\n|:-|-:|\n|1|2|\n|3|4|",
                #"[["table",["thead",["tr",["th",{"align":"left"},"a"],["th",{"align":"right"},"b"]]],["tbody",["tr",["td",{"align":"left"},"1"],["td",{"align":"right"},"2"]],["tr",["td",{"align":"left"},"3"],["td",{"align":"right"},"4"]]]]]"#
            ),
            ("|a|\n|-|", #"[["table",["thead",["tr",["th","a"]]]]]"#),
            ("", "[]"),
        ])
    func constructs(text: String, expected: String) { #expect(nodes(text) == expected) }

    @Test(
        "a link leads to the web or a mailbox, or is its words with the address behind them",
        arguments: [
            ("[a](https://x.example/?q=1 \"t\")", #"[["p",["a",{"href":"https://x.example/?q=1","title":"t"},"a"]]]"#),
            ("https://x.example", #"[["p",["a",{"href":"https://x.example"},"https://x.example"]]]"#),
            ("<me@x.example>", #"[["p",["a",{"href":"mailto:me@x.example"},"me@x.example"]]]"#),
            ("[a](javascript:alert(1))", #"[["p",["span","a"," (javascript:alert(1))"]]]"#),
            ("[a](JaVaScRiPt:alert(1))", #"[["p",["span","a"," (JaVaScRiPt:alert(1))"]]]"#),
            ("[a](data:text/html,x)", #"[["p",["span","a"," (data:text/html,x)"]]]"#),
            ("[a](/relative)", #"[["p",["span","a"," (/relative)"]]]"#),
            ("[a](//evil.example)", #"[["p",["span","a"," (//evil.example)"]]]"#),
            ("[a](java&#10;script:x)", #"[["p",["span","a"," (java\nscript:x)"]]]"#),
        ])
    func links(text: String, expected: String) { #expect(nodes(text) == expected) }

    @Test("nothing is loaded and no markup runs: pictures are links, HTML is text")
    func inert() {
        #expect(nodes("![alt](https://x.example/p.png)") == #"[["p",["a",{"href":"https://x.example/p.png"},"alt"]]]"#)
        #expect(nodes("![](https://x.example/p.png)") == #"[["p",["a",{"href":"https://x.example/p.png"},"https://x.example/p.png"]]]"#)
        #expect(nodes("a <b onclick=x>b</b>") == #"[["p","a ","<b onclick=x>","b","</b>"]]"#)
        #expect(nodes("<script>alert(1)</script>") == #"[["pre",{"lang":"html"},["code","<script>alert(1)</script>\n"]]]"#)
    }

    @Test("what would keep a browser busy is left for later, and then rendered within bounds")
    func excess() {
        let long = String(repeating: "*a* ", count: 40_000)
        #expect(nodes(long) == "long")
        #expect(nodes(long, whole: true).hasPrefix(#"[["p",["em","a"]," ","#))
        #expect(nodes(String(repeating: "x", count: Markdown.maximumBytes + 1), whole: true) == "long")
        let deep = String(repeating: ">", count: 5000) + " end"
        #expect(nodes(deep) == "deep")
        let flat = nodes(deep, whole: true)
        #expect(flat.hasSuffix(#""end""# + String(repeating: "]", count: Markdown.maximumDepth + 1)))
        let depth = flat.prefix { $0 != "e" || !flat.isEmpty }.reduce(into: (now: 0, most: 0)) { count, character in
            if character == "[" { count = (count.now + 1, max(count.most, count.now + 1)) }
            if character == "]" { count.now -= 1 }
        }
        #expect(depth.most <= Markdown.maximumDepth + 1)
        #expect(nodes(String(repeating: "*", count: 19_000)) != "deep")
        #expect(nodes(String(repeating: "[", count: 19_000) + "a").hasPrefix("[["))
    }

    @Test("whatever is written is JSON, and every text in it comes out again", arguments: ["a\u{0}b", "\u{202E}abc", "\"\\", "😀\u{200B}"])
    func hostile(text: String) throws {
        let json = Array(nodes(text).utf8)
        try JSONDocument.read(json) { root in
            var words = ""
            root.forEachElement { node in
                var isTag = true
                node.forEachElement { child in
                    if !isTag { words += child.string ?? "" }
                    isTag = false
                }
            }
            #expect(words == text.replacing("\u{0}", with: "\u{FFFD}"))
        }
    }
}
