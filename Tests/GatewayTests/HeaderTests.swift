import Events
import HTTPTypes
import Hummingbird
import Keys
import NIOCore
import NIOHTTP1
import Testing

@testable import Gateway

@Suite struct ClientAddressTests {
    private let addresses = ClientAddress(trustedProxies: ["10.0.0.0/8", "::1"].compactMap(AddressRange.init))

    @Test("who is not a trusted proxy is believed nothing")
    func untrusted() {
        #expect(addresses.resolve(peer: "203.0.113.9", forwarded: ["198.51.100.1"]) == "203.0.113.9")
        #expect(ClientAddress(trustedProxies: []).resolve(peer: "10.0.0.1", forwarded: ["198.51.100.1"]) == "10.0.0.1")
    }

    @Test("the right-most untrusted hop is the client, whatever stands left of it")
    func rightMost() {
        #expect(addresses.resolve(peer: "10.0.0.1", forwarded: ["1.2.3.4, 198.51.100.1, 10.9.9.9"]) == "198.51.100.1")
        #expect(addresses.resolve(peer: "10.0.0.1", forwarded: ["1.2.3.4", "198.51.100.1:52100"]) == "198.51.100.1")
        #expect(addresses.resolve(peer: "::1", forwarded: ["[2001:db8::7]:443"]) == "2001:db8::7")
    }

    @Test("what is no address ends the trail")
    func garbage() {
        #expect(addresses.resolve(peer: "10.0.0.1", forwarded: ["198.51.100.1, unknown, 10.0.0.2"]) == "10.0.0.2")
        #expect(addresses.resolve(peer: "10.0.0.1", forwarded: []) == "10.0.0.1")
    }

    @Test("blocks hold what they hold")
    func ranges() {
        #expect(AddressRange("192.0.2.128/25")!.contains("192.0.2.200"))
        #expect(!AddressRange("192.0.2.128/25")!.contains("192.0.2.100"))
        #expect(AddressRange("0.0.0.0/0")!.contains("8.8.8.8"))
        #expect(!AddressRange("0.0.0.0/0")!.contains("::2"))
        #expect(AddressRange("10.0.0.1")!.contains("::ffff:10.0.0.1"))
        #expect(AddressRange("2001:db8::/33")!.contains("2001:db8:7fff::1"))
        #expect(!AddressRange("2001:db8::/33")!.contains("2001:db8:8000::1"))
        #expect(AddressRange("10.0.0.0/33") == nil)
        #expect(AddressRange("ten") == nil)
    }
}

@Suite struct CORSTests {
    @Test("a preflight names the exact origin and only headers that are ours")
    func preflight() {
        let headers = CORS.preflight(
            origin: .named("https://shop.example"), requestedHeaders: "content-type, x-evil, authorization", methods: ["POST"]
        ) {
            _ in true
        }
        #expect(headers["Access-Control-Allow-Origin"] == ["https://shop.example"])
        #expect(headers["Access-Control-Allow-Credentials"] == ["true"])
        #expect(headers["Access-Control-Allow-Headers"] == ["Authorization, Content-Type"])
        #expect(headers["Access-Control-Max-Age"] == ["86400"])
        #expect(headers["Vary"] == ["Origin"])
    }

    @Test("an origin that no project allows is told nothing, but caches are told that it matters")
    func forbiddenPreflight() {
        let headers = CORS.preflight(origin: .named("https://evil.example"), requestedHeaders: "content-type", methods: ["POST"]) { _ in
            false
        }
        #expect(!headers.contains(name: "Access-Control-Allow-Origin"))
        #expect(headers["Vary"] == ["Origin"])
    }

    @Test("answers name the origin that asked, and never a star")
    func answers() {
        func exposed(to origin: Knock.Origin) -> HTTPHeaders {
            var headers = HTTPHeaders()
            CORS.expose(&headers, to: origin)
            return headers
        }
        let named = exposed(to: .named("https://shop.example"))
        #expect(named["Access-Control-Allow-Origin"] == ["https://shop.example"])
        #expect(named["Access-Control-Expose-Headers"].contains { $0.contains("Retry-After") })
        #expect(exposed(to: .null)["Access-Control-Allow-Origin"] == ["null"])
        #expect(!exposed(to: .missing).contains(name: "Access-Control-Allow-Origin"))
        #expect(!exposed(to: .named("https://a b")).contains(name: "Access-Control-Allow-Origin"))
    }
}

@Suite struct RequestTargetTests {
    @Test(
        "the path of a target, whichever form it has",
        arguments: [
            ("/v1/events", "/v1/events"), ("/v1/events?key=a", "/v1/events"), ("/#x", "/"), ("/?a=/b", "/"),
            ("http://host/v1/events?key=a", "/v1/events"), ("https://host:1?x", "/"), ("HTTP://host", "/"), ("*", "*"), ("", ""),
            ("host:443", "host:443"), ("//v1/events", "//v1/events"),
        ])
    func paths(target: String, path: String) {
        #expect(RequestTarget.path(of: target) == path)
    }

    @Test(
        "the date of an answer is an IMF-fixdate",
        arguments: [
            ("1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT"), ("1994-11-06T08:49:37Z", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("2024-02-29T23:59:59.999Z", "Thu, 29 Feb 2024 23:59:59 GMT"), ("2026-11-21T14:03:22Z", "Sat, 21 Nov 2026 14:03:22 GMT"),
        ])
    func dates(time: String, text: String) {
        #expect(DateHeader.text(of: Timestamp(iso8601: time)!) == text)
    }
}

@Suite struct KnockTests {
    private func knock(_ path: String, _ headers: HTTPHeaders = [:], onlyFromQuery: Bool = false) -> Knock {
        let request = HTTPRequestHead(version: .http1_1, method: .POST, uri: path, headers: headers)
        let places: [Entrance.KeyPlace] = onlyFromQuery ? [.query] : [.bearer, .header("X-API-Key"), .query]
        return Knock(KnockHeaders(request), peer: "192.0.2.1", addresses: ClientAddress(trustedProxies: []), places: places)
    }

    @Test("a key comes as a bearer, as X-API-Key or in the query, in that order")
    func keys() {
        #expect(knock("/v1/events?key=q", ["Authorization": "bearer  b", "X-API-Key": "x"]).key == "b")
        #expect(knock("/v1/events?key=q", ["X-API-Key": "x"]).key == "x")
        #expect(knock("/v1/events?a=b&key=pk%5f1+2#key=no").key == "pk_1 2")
        #expect(knock("/v1/events?key=").key == nil)
        #expect(knock("/v1/events", ["Authorization": "Basic b"]).key == nil)
    }

    @Test("a beacon's key is in its address only")
    func beacon() {
        #expect(knock("/v1/beacon", ["Authorization": "Bearer b"], onlyFromQuery: true).key == nil)
        #expect(knock("/v1/beacon?key=q", ["Authorization": "Bearer b"], onlyFromQuery: true).key == "q")
    }

    @Test("a broken escape is kept as it is", arguments: ["%", "%4", "%zz"])
    func escapes(text: String) {
        #expect(knock("/?project=\(text)").project == text)
    }
}

@Suite struct AnswerTests {
    private let parcel = Parcel(items: [])

    @Test("a reply whose events are all to be sent again says so in its status")
    func raised() {
        let reply = Reply(status: 200, body: [])
        let limited = Verdict.retry(Refusal(.rateLimited, retryAfterMilliseconds: 2500))
        #expect(reply.raised(by: [limited, limited]).status == 429)
        #expect(reply.raised(by: [limited, limited]).retryAfterSeconds == 3)
        #expect(reply.raised(by: [.retry(Refusal(.diskFull))]).status == 503)
        #expect(reply.raised(by: [limited, .stored]).status == 200)
        #expect(reply.raised(by: []).status == 200)
    }

    @Test("the reasons page has a section for every reason")
    func reasons() {
        for reason in Reason.allCases { #expect(ReasonsPage.html.contains("<section id=\"\(reason.rawValue)\">")) }
        #expect(!ReasonsPage.html.contains("`"))
    }

    @Test("a file is sent once and then confirmed")
    func staticFile() throws {
        let file = StaticFile(path: "/parley.js", contentType: "text/javascript", bytes: Array("hello".utf8))
        let first = file.respond(to: request())
        let tag = try #require(first.headers[.eTag])
        #expect(first.status == .ok)
        #expect(first.headers[.accessControlAllowOrigin] == "*")
        #expect(file.respond(to: request([.ifNoneMatch: "\"x\", W/\(tag)"])).status == .notModified)
        #expect(file.respond(to: request([.ifNoneMatch: "\"x\""])).status == .ok)
    }

    @Test("a file goes compressed to whom takes that, under a tag of its own, and each tag is confirmed")
    func compressedFile() throws {
        let file = StaticFile(
            path: "/parley.js", contentType: "text/javascript", bytes: Array(String(repeating: "hello ", count: 100).utf8))
        let plain = file.respond(to: request())
        let packed = file.respond(to: request([.acceptEncoding: "br, gzip"]))
        #expect(plain.headers[.contentEncoding] == nil && plain.headers[.contentLength] == "600")
        #expect(packed.headers[.contentEncoding] == "gzip")
        #expect(try #require(Int(packed.headers[.contentLength] ?? "")) < 100)
        #expect(plain.headers[.vary] == "Accept-Encoding" && packed.headers[.vary] == "Accept-Encoding")
        let tags = try [plain, packed].map { try #require($0.headers[.eTag]) }
        #expect(Set(tags).count == 2)
        for tag in tags { #expect(file.respond(to: request([.ifNoneMatch: tag])).status == .notModified) }
        #expect(file.respond(to: request([.acceptEncoding: "gzip;q=0"])).headers[.contentEncoding] == nil)
    }

    private func request(_ fields: HTTPFields = [:]) -> Request {
        Request(
            head: HTTPRequest(method: .get, scheme: nil, authority: nil, path: "/parley.js", headerFields: fields),
            body: RequestBody(buffer: ByteBuffer()))
    }
}

@Suite struct ConnectionGateTests {
    @Test("an address has its burst and then its rate; another has its own")
    func bucket() {
        let gate = ConnectionGate(burst: 2, perSecond: 1)
        let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
        let one = AddressBlock("192.0.2.1")
        #expect(gate.wait(for: one, at: start) == nil)
        #expect(gate.wait(for: one, at: start) == nil)
        #expect(gate.wait(for: one, at: start) == 1000)
        #expect(gate.wait(for: AddressBlock("192.0.2.2"), at: start) == nil)
        #expect(gate.wait(for: one, at: start + .seconds(1)) == nil)
    }
}
