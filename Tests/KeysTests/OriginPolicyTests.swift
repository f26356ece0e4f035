import Events
import Keys
import Testing

@Suite("Origin policy")
struct OriginPolicyTests {
    @Test(
        "an origin is allowed by",
        arguments: [
            ("https://shop.example", "https://shop.example"), ("https://shop.example", "https://shop.example:443"),
            ("https://shop.example:443", "https://shop.example"),
            ("http://shop.example", "http://shop.example:80"), ("https://Shop.Example", "HTTPS://SHOP.EXAMPLE"),
            ("https://shop.example:8443", "https://shop.example:8443"),
            ("https://*.shop.example", "https://www.shop.example"), ("https://*.shop.example", "https://a.b.shop.example"),
            ("https://*.shop.example:8443", "https://a.shop.example:8443"),
            ("https://*.shop.example", "https://www.shop.example:443"), ("http://localhost:*", "http://localhost"),
            ("http://localhost:*", "http://localhost:65535"),
            ("http://127.0.0.1:*", "http://127.0.0.1:8788"), ("https://*.shop.example:*", "https://a.shop.example:9"),
            ("http://[::1]:*", "http://[::1]:8788"),
            ("http://[::1]", "http://[::1]"), ("http://[::1]", "http://[::1]:80"),
            ("http://[2001:db8::1]:8080", "http://[2001:DB8::1]:8080"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("chrome-extension://abcdefghijkl", "chrome-extension://abcdefghijkl"),
            ("https://my_host.example", "https://my_host.example"),
        ])
    func allowed(_ pattern: String, _ origin: String) throws { #expect(try OriginPattern(pattern).matches(origin)) }

    @Test(
        "an origin is refused by",
        arguments: [
            // suffix and prefix tricks
            ("https://shop.example", "https://shop.example.evil.com"), ("https://shop.example", "https://evilshop.example"),
            ("https://shop.example", "https://www.shop.example"),
            ("https://*.shop.example", "https://shop.example.evil.com"), ("https://*.shop.example", "https://evilshop.example"),
            ("https://*.shop.example", "https://shop.example"),
            ("https://*.shop.example", "https://.shop.example"), ("https://*.shop.example", "https://a.shop.example.evil.com"),
            ("https://*.shop.example", "https://a.shop.example."),
            ("https://shop.example", "https://shop-example"), ("https://shop.example", "https://shopxexample"),
            ("https://shop.example", "https://shop.exampl"),
            // schemes and ports
            ("https://shop.example", "http://shop.example"), ("http://shop.example", "https://shop.example"),
            ("https://shop.example", "https://shop.example:444"),
            ("https://shop.example", "http://shop.example:443"), ("http://shop.example:8080", "http://shop.example"),
            ("https://shop.example", "https://shop.example:"),
            ("https://shop.example:*", "https://shop.example:*"), ("https://shop.example:*", "https://shop.example:99x"),
            ("https://shop.example:*", "https://shop.example:123456"),
            ("https://*.shop.example", "https://a.shop.example:8443"), ("https://shop.example", "shop.example"),
            ("https://shop.example", "//shop.example"),
            ("https://shop.example", "javascript://shop.example"), ("https://shop.example", "://shop.example"),
            // userinfo, paths and other things an origin does not have
            ("https://shop.example", "https://user@shop.example"), ("https://shop.example", "https://shop.example@evil.com"),
            ("https://*.shop.example", "https://evil.com@a.shop.example"),
            ("https://shop.example", "https://user:pass@shop.example"), ("https://shop.example:*", "https://shop.example:80@evil.com"),
            ("https://shop.example", "https://shop.example/"),
            ("https://*.shop.example", "https://evil.com/.shop.example"), ("https://*.shop.example", "https://evil.com?.shop.example"),
            ("https://*.shop.example", "https://evil.com#.shop.example"),
            ("https://*.shop.example", "https://evil.com\\.shop.example"),
            ("https://shop.example", "https://shop.example https://evil.com"), ("https://shop.example", " https://shop.example"),
            ("https://*.shop.example", "https://evil.com\u{0}.shop.example"), ("https://*.shop.example", "https://evil%2ecom.shop.example"),
            // wildcards and words that mean something else
            ("https://*.shop.example", "https://*.shop.example"), ("https://shop.example", "null"), ("https://shop.example", ""),
            ("https://shop.example", "*"),
            // addresses
            ("http://127.0.0.1:*", "http://127.0.0.1.evil.com"), ("http://localhost:*", "http://localhost.evil.com:80"),
            ("http://[::1]:*", "http://[::1].evil.com"),
            ("http://[::1]:*", "http://[::2]:80"), ("http://[::1]:*", "http://::1:80"), ("http://[::1]", "http://[::1]:8080"),
            ("http://127.0.0.1:*", "http://127.0.0.10:80"),
        ])
    func refused(_ pattern: String, _ origin: String) throws { #expect(try !OriginPattern(pattern).matches(origin)) }

    @Test(
        "a line that is no origin is refused when it is written",
        arguments: [
            "", "*", "null", "shop.example", "https://", "https://*", "https://*.", "https://a.*.example", "https://shop.*",
            "https://**.shop.example", "https://*shop.example",
            "https://shop.example/", "https://shop.example/path", "https://user@shop.example", "https://shop.example:",
            "https://shop.example:x", "https://shop.example:123456",
            "://shop.example", "https:shop.example", "https://shop example", "https://bücher.example", "https://shop.example?x",
            "*://shop.example",
        ])
    func noPattern(_ text: String) { #expect(throws: Refusal.self) { try OriginPattern(text) } }

    @Test("no origin, a null one and a foreign one are refused each by its name, and the switches open only their own")
    func switches() {
        func reasons(_ change: (inout Project.Settings) -> Void) -> [Reason?] {
            var settings = Project.Settings()
            change(&settings)
            let policy = OriginPolicy(settings)
            return [.missing, .null, .named("https://shop.example"), .named("https://evil.com")].map { policy.refusal(of: $0)?.reason }
        }
        #expect(reasons { _ in } == [.originMissing, .originNull, .originForbidden, .originForbidden])
        #expect(reasons { $0.origins = ["https://shop.example"] } == [.originMissing, .originNull, nil, .originForbidden])
        #expect(reasons { $0.allowsMissingOrigin = true } == [nil, .originNull, .originForbidden, .originForbidden])
        #expect(reasons { $0.allowsNullOrigin = true } == [.originMissing, nil, .originForbidden, .originForbidden])
        #expect(reasons { $0.origins = ["no origin", "https://shop.example"] } == [.originMissing, .originNull, nil, .originForbidden])
        #expect(reasons { $0.origins = ["null"] } == [.originMissing, .originNull, .originForbidden, .originForbidden])
    }

    @Test(
        "a header says missing, null or a name",
        arguments: [
            (nil, .missing), ("null", .null), ("NULL", .named("NULL")), ("", .named("")),
            ("https://a.example", .named("https://a.example")),
        ] as [(String?, Knock.Origin)])
    func header(_ text: String?, _ origin: Knock.Origin) { #expect(Knock.Origin(header: text) == origin) }
}
