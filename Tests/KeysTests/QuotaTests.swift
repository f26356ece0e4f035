@testable import Keys
import Events
import TestKit
import Testing

/// `#expect` for calls that change what they are asked of, which a macro can't see through.
private func expect(_ condition: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(condition, sourceLocation: sourceLocation)
}

@Suite("Token bucket")
struct TokenBucketTests {
    private let quota = Project.Quota(perSecond: 10, burst: 100)

    @Test("a bucket holds its burst, then refills at its rate and no further")
    func refill() {
        var bucket = TokenBucket(quota, at: Sample.noon)
        expect(bucket.take(100, of: quota, at: Sample.noon) == nil)
        expect(bucket.take(1, of: quota, at: Sample.noon) == 0.1)
        expect(bucket.take(10, of: quota, at: Sample.time(1)) == nil)
        expect(bucket.remaining(of: quota, at: Sample.time(1)) == 0)
        expect(bucket.remaining(of: quota, at: Sample.time(6)) == 50)
        expect(bucket.remaining(of: quota, at: Sample.time(1000)) == 100)
        expect(bucket.isFull(quota, at: Sample.time(1000)))
    }

    @Test("a refusal takes nothing and says how long to wait, to the moment")
    func refusal() throws {
        var bucket = TokenBucket(quota, at: Sample.noon)
        expect(bucket.take(95, of: quota, at: Sample.noon) == nil)
        let refused = bucket.take(25, of: quota, at: Sample.noon)
        let wait = try #require(refused)
        #expect(wait == 2)
        expect(bucket.remaining(of: quota, at: Sample.noon) == 5)
        expect(bucket.take(25, of: quota, at: Sample.time(wait - 0.01)) != nil)
        expect(bucket.take(25, of: quota, at: Sample.time(wait)) == nil)
    }

    @Test("more than the burst is let through once and owed")
    func beyondBurst() {
        var bucket = TokenBucket(quota, at: Sample.noon)
        expect(bucket.take(250, of: quota, at: Sample.noon) == nil)
        expect(bucket.remaining(of: quota, at: Sample.noon) == 0)
        expect(bucket.take(1, of: quota, at: Sample.time(15)) == 0.1)
        expect(bucket.take(1, of: quota, at: Sample.time(15.25)) == nil)
    }

    @Test("a clock that goes back fills nothing and takes nothing")
    func clockGoesBack() {
        var bucket = TokenBucket(quota, at: Sample.noon)
        expect(bucket.take(100, of: quota, at: Sample.time(10)) == nil)
        expect(bucket.remaining(of: quota, at: Sample.time(5)) == 0)
        expect(bucket.remaining(of: quota, at: Sample.time(11)) == 10)
    }

    @Test("what is given back never overfills")
    func givesBack() {
        var bucket = TokenBucket(quota, at: Sample.noon)
        bucket.giveBack(50, of: quota)
        expect(bucket.remaining(of: quota, at: Sample.noon) == 100)
    }

    @Test("a quota without a rate never refills, and asks to come back in an hour")
    func noRate() {
        let quota = Project.Quota(perSecond: 0, burst: 1)
        var bucket = TokenBucket(quota, at: Sample.noon)
        expect(bucket.take(1, of: quota, at: Sample.noon) == nil)
        expect(bucket.take(1, of: quota, at: Sample.time(1e6)) == 3600)
    }

    @Test("over any stretch no more goes through than burst and rate allow")
    func bound() {
        var bucket = TokenBucket(quota, at: Sample.noon)
        var taken = 0
        var state: UInt64 = 3
        for step in 0..<2000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1
            let seconds = Double(step) * 0.05
            let wanted = Int(state >> 60) + 1
            if bucket.take(wanted, of: quota, at: Sample.time(seconds)) == nil { taken += wanted }
            #expect(Double(taken) <= quota.burst + quota.perSecond * seconds + 1e-6)
        }
        #expect(taken > 1000)
    }
}

@Suite("Quota book")
struct QuotaBookTests {
    private let key = QuotaBook.Name(project: ProjectID(1), owner: .key, unit: .events, id: "a")
    private let address = QuotaBook.Name(project: ProjectID(1), owner: .address, unit: .events, id: "a")
    private let wide = Project.Quota(perSecond: 10, burst: 100)
    private let narrow = Project.Quota(perSecond: 1, burst: 10)

    private func claim(_ amount: Int, _ name: QuotaBook.Name, _ quota: Project.Quota) -> QuotaBook.Claim {
        .init(name: name, quota: quota, amount: amount)
    }

    @Test("all quotas are taken from, or none, and the short one is named")
    func allOrNone() {
        var book = QuotaBook()
        expect(book.take([claim(10, key, wide), claim(10, address, narrow)], at: Sample.noon) == nil)
        for claims in [[claim(5, key, wide), claim(5, address, narrow)], [claim(5, address, narrow), claim(5, key, wide)]] {
            let shortage = book.take(claims, at: Sample.noon)
            expect(shortage?.wait == 5 && shortage?.short == address)
            expect(book.remaining(key, wide, at: Sample.noon) == 90)
        }
        expect(book.remaining(address, narrow, at: Sample.noon) == 0)
    }

    @Test("owners, units and projects do not share a bucket, and a changed quota starts anew")
    func apart() {
        var book = QuotaBook()
        expect(book.take([claim(100, key, wide)], at: Sample.noon) == nil)
        var others = [address, key, key, key]
        others[1].project = ProjectID(2)
        others[2].unit = .bytes
        others[3].id = "b"
        for other in others { expect(book.remaining(other, wide, at: Sample.noon) == 100) }
        expect(book.remaining(key, narrow, at: Sample.noon) == 10)
        expect(book.remaining(key, wide, at: Sample.noon) == 0)
    }
}

@Suite("Address block")
struct AddressBlockTests {
    @Test(
        "addresses of one owner are one block",
        arguments: [
            ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("::FFFF:192.0.2.1", "192.0.2.1"),
            ("::ffff:c000:201", "192.0.2.1"),
            ("2001:db8:1:200::1", "2001:db8:1:2ff:ffff:ffff:ffff:ffff"), ("2001:db8:1:200::1", "2001:0DB8:0001:0200:0:0:0:1"),
            ("2001:db8::1", "2001:db8:0:0:1::"),
            ("2001:db8::1", "2001:db8:0:ff::"), ("fe80::1%eth0", "fe80::2"), ("fe80::1%eth0.100", "fe80::1"), ("::1", "0:0:0:0:0:0:0:1"),
        ])
    func same(_ first: String, _ second: String) { #expect(AddressBlock(first) == AddressBlock(second)) }

    @Test(
        "addresses of different owners are not",
        arguments: [
            ("192.0.2.1", "192.0.2.2"), ("2001:db8:1:200::1", "2001:db8:1:300::1"), ("2001:db8:1::1", "2001:db8:2::1"),
            ("2001:db8::1", "2001:db9::1"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2"), ("::ffff:c000:201", "::ffff:c000:202"), ("2001:db8::", "::2001:db8"),
            ("::1", "127.0.0.1"),
        ])
    func different(_ first: String, _ second: String) { #expect(AddressBlock(first) != AddressBlock(second)) }

    @Test("a block of an IPv6 customer is written as its /56")
    func text() {
        #expect(AddressBlock("2001:db8:1:2ab::1").text == "2001:db8:1:200::/56")
        #expect(AddressBlock("192.0.2.1").text == "192.0.2.1")
    }

    @Test(
        "what is no address makes a block all the same",
        arguments: ["", ":", "::", ":::", "x", "unix:", "1:2:3:4:5:6:7:8:9", "g::1", "%", "::%"])
    func noAddress(_ text: String) { #expect(AddressBlock(text) == AddressBlock(text)) }
}
