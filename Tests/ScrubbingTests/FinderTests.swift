import Events
import Testing
@testable import Scrubbing

/// What each rule finds, and what it must leave alone.
@Suite("Finding")
struct FinderTests {
    private func scrubbed(_ text: String, _ rules: String...) throws -> String {
        try Scrubber(rules.map { try ScrubbingRule(text: $0) }, key: [UInt8](repeating: 7, count: 32)).scrub(text: text).text
    }

    @Test(
        "e-mail addresses are found in what people write around them",
        arguments: [
            ("mail me at ann@shop.example", "mail me at [email]"),
            ("Ann.O'Hara+news@mail.shop.example.", "[email]."),
            ("<ann@shop.example>, (bob@shop.example)", "<[email]>, ([email])"),
            ("mailto:ann@shop.example?subject=Hi", "mailto:[email]?subject=Hi"),
            ("https://shop.example/?email=ann@shop.example&x=1", "https://shop.example/?email=[email]&x=1"),
            ("https://shop.example/?email=ann%40shop.example&x=1", "https://shop.example/?email=[email]&x=1"),
            ("jürgen.müller@bücher.example", "[email]"),
            ("ann@xn--bcher-kva.example", "[email]"),
            ("用户@例子.广告", "[email]"),
            ("メールはann@shop.exampleです", "メールは[email]です"),
            ("ann＠shop．example", "[email]"),
            ("a\u{200B}nn@sh\u{AD}op.example", "[email]"),
            ("\"Ann Example\"@shop.example", "[email]"),
            ("ann@[192.0.2.1]", "[email]"),
            ("ANN@SHOP.EXAMPLE", "[email]"),
            ("ann@shop.example, bob@shop.example;cem@shop.example", "[email], [email];[email]"),
            ("_ann_@shop.example!", "[email]!"),
            ("😀ann@shop.example😀", "😀[email]😀"),
            ("ann@shop.example.5", "[email].5"),
        ])
    func emails(text: String, expected: String) throws {
        #expect(try scrubbed(text, "email=mask") == expected)
    }

    @Test(
        "what only looks like an e-mail address stays",
        arguments: [
            "meet @ noon", "@ann said so", "ann@", "ann@localhost", "pkg@1.2.3", "a@b", "logo@2x.png", "ann@ shop.example", "@shop.example",
            "ann@-shop.example", "ann@shop..example", "50% off", "%40", "ssh root@10.0.0.1",
        ])
    func noEmails(text: String) throws {
        #expect(try scrubbed(text, "email=mask") == text)
    }

    @Test(
        "card numbers are found in any grouping and any digits",
        arguments: [
            ("4111111111111111", "[card]"),
            ("card 4111 1111 1111 1111 please", "card [card] please"),
            ("4111-1111-1111-1111, 123", "[card], 123"),
            ("4111.1111.1111.1111", "[card]"),
            ("4111 - 1111 - 1111 - 1111", "[card]"),
            ("4111\u{A0}1111\u{2009}1111\u{202F}1111", "[card]"),
            ("4111–1111–1111–1111", "[card]"),
            ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "[card]"),
            ("４１１１１１１１１１１１１１１１", "[card]"),
            ("٤١١١١١١١١١١١١١١١", "[card]"),
            ("4111\u{200B}1111\u{200D}1111\u{FEFF}1111", "[card]"),
            ("3782 822463 10005", "[card]"),
            ("5555555555554444 exp 12/27", "[card] exp 12/27"),
            ("4111 1111 1111 1111 12 27", "[card] 12 27"),
            ("No. 17 4111 1111 1111 1111", "No. 17 [card]"),
            ("6011000990139424", "[card]"),
            ("4222222222222", "[card]"),
            ("visa-4111111111111111", "visa-[card]"),
            ("カードは4111111111111111です", "カードは[card]です"),
        ])
    func cards(text: String, expected: String) throws {
        #expect(try scrubbed(text, "card=mask") == expected)
    }

    @Test(
        "numbers that are no cards stay",
        arguments: [
            "4111111111111112", "1795229470887", "1795229470887123", "2026-11-21 02:51:10.887", "ORDER-2024-0004111111111111",
            "41111111111111111111", "A4111111111111111", "4111111111111111x", "0000000000000000", "1234567890123456", "978-3-16-148410-0",
            "019712f3-8c4a-7000-8000-123456789012", "4111 1111\n1111 1111", "order 2024-4111111111111111",
        ])
    func noCards(text: String) throws {
        #expect(try scrubbed(text, "card=mask") == text)
    }

    @Test(
        "bank accounts are found in any case and grouping",
        arguments: [
            ("DE89370400440532013000", "[iban]"),
            ("de89 3704 0044 0532 0130 00 bitte", "[iban] bitte"),
            ("IBAN: GB29 NWBK 6016 1331 9268 19.", "IBAN: [iban]."),
            ("MT84-MALT-0110-0001-2345-MTLC-AST0-01S", "[iban]"),
            ("NO9386011117947", "[iban]"),
            ("FR1420041010050500013M02606", "[iban]"),
            ("ＤＥ８９370400440532013000", "[iban]"),
        ])
    func ibans(text: String, expected: String) throws {
        #expect(try scrubbed(text, "iban=mask") == expected)
    }

    @Test(
        "what fails the check of a bank account stays",
        arguments: [
            "DE89370400440532013001", "DE8937040044053201300", "XX89370400440532013000", "DE893704004405320130000",
            "ABDE89370400440532013000", "order DE12 in 3704 0044",
        ])
    func noIBANs(text: String) throws {
        #expect(try scrubbed(text, "iban=mask") == text)
    }

    @Test(
        "IP addresses of both versions are found",
        arguments: [
            ("from 192.0.2.1", "from [ip]"), ("192.0.2.1:8080", "[ip]:8080"), ("(192.0.2.1).", "([ip])."), ("ip:192.0.2.1", "ip:[ip]"),
            ("node:192.0.2.1", "node:[ip]"), ("192.0.2.0/24", "[ip]/24"),
            ("2001:db8::1", "[ip]"), ("2001:0DB8:0000:0000:0000:0000:0000:0001", "[ip]"), ("::1", "[ip]"), ("fe80::1%eth0", "[ip]"),
            ("http://[2001:db8::1]:80/", "http://[[ip]]:80/"), ("::ffff:192.0.2.1", "[ip]"), ("it was 2001:db8::1.", "it was [ip]."),
            ("2001:db8:: is a net", "[ip] is a net"), ("addr:2001:db8::1", "addr:[ip]"), ("64:ff9b::192.0.2.33", "[ip]"),
        ])
    func addresses(text: String, expected: String) throws {
        #expect(try scrubbed(text, "ip=mask") == expected)
    }

    @Test(
        "times, versions, hardware addresses and code are no IP addresses",
        arguments: [
            "12:30:45", "2026-11-21T02:51:10.887Z", "v1.2.3.4", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.02.03.04", "00:1a:2b:3c:4d:5e",
            "std::vector", "a::b", "face::bed", "::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "2001:db8::1::2", "12345::1", "10.5:3",
        ])
    func noAddresses(text: String) throws {
        #expect(try scrubbed(text, "ip=mask") == text)
    }

    @Test(
        "telephone numbers are found as people write them",
        arguments: [
            ("+49 30 1234567", "[phone]"), ("call +1 (555) 123-4567 now", "call [phone] now"), ("+4930 123 45 67", "[phone]"),
            ("0049 30 1234567", "[phone]"), ("030 1234567", "[phone]"), ("(030) 1234567", "[phone]"), ("030/1234567", "[phone]"),
            ("0171-1234567", "[phone]"), ("01711234567", "[phone]"), ("+49 (0)30 1234567", "[phone]"), ("01 23 45 67 89", "[phone]"),
            ("020 7946 0958", "[phone]"), ("(555) 123-4567", "[phone]"), ("555-123-4567.", "[phone]."), ("1-555-123-4567", "[phone]"),
            ("tel:+493012345678", "tel:[phone]"), ("(01711234567)", "([phone])"), ("＋４９ ３０ １２３４５６７", "[phone]"),
            ("電話は03-1234-5678です", "電話は[phone]です"), ("Tel. 030 1234567, Fax 030 1234568", "Tel. [phone], Fax [phone]"),
        ])
    func phones(text: String, expected: String) throws {
        #expect(try scrubbed(text, "phone=mask") == expected)
    }

    @Test(
        "dates, times, order numbers and prices are no telephone numbers",
        arguments: [
            "2026-11-21 02:51:10", "2026-11-21T02:51:10.887Z", "1795229470887", "1795229470", "ORDER-2024-000123", "order 12345678",
            "01.02.2024 10:30", "01.02.2024 100", "09-12-2024 100", "0.123456789", "1,234,567.89", "978-3-16-148410-0", "0-19-852663-6",
            "192.168.100.200", "4111 1111 1111 1111", "019712f3-8c4a-7000-8000-302099a80571", "01971234-1234-7123-8123-123456789012",
            "#0301234567", "v0301234567", "12:0301234567", "0012345678", "+1", "+ 12", "555-1234", "3.14159265358979", "00:11:22:33",
        ])
    func noPhones(text: String) throws {
        #expect(try scrubbed(text, "phone=mask") == text)
    }

    @Test("a finder looks at each place a bounded number of times, whatever is repeated")
    func linear() throws {
        let rules = ["email=mask", "phone=mask", "card=mask", "iban=mask", "ip=mask"]
        for piece in ["@", "a@", "a.", "1 ", "4111 ", "1:", "::", "+1", "0", "DE", "DE8", "1.", "(", "é@", "a@b."] {
            func seconds(_ count: Int) throws -> Duration {
                let text = String(repeating: piece, count: count)
                let scrubber = try Scrubber(rules.map { try ScrubbingRule(text: $0) }, key: nil)
                return ContinuousClock().measure { _ = scrubber.scrub(text: text) }
            }
            _ = try seconds(100)
            // Sixteen times the text: quadratic work would be 256 times as much.
            let short = try seconds(4000), long = try seconds(64000)
            #expect(long < short * 100 + .milliseconds(200), "\(piece)")
        }
    }
}
