import Events
import Keys
import Testing

@testable import Gateway

@Suite struct SessionTests {
    /// A session that has been welcomed and greeted.
    private func openSession(_ configure: (inout Session.Configuration) -> Void = { _ in }) -> Session {
        var configuration = Session.Configuration()
        configure(&configuration)
        var session = Session(id: "s_1", configuration: configuration, at: at(0))
        _ = session.opened(pressure: 0, at: at(0))
        _ = session.received(.hello(client: "test", token: nil), bytes: 10, pressure: 0, at: at(0))
        return session
    }

    @Test("the server speaks first, with limits and all credits")
    func welcome() {
        var session = Session(id: "s_1", configuration: .init(), at: at(0))
        let words = said(session.opened(pressure: 0, at: at(5)))
        #expect(
            words == [
                .welcome(
                    session: "s_1", time: at(5).time, limits: SocketLimits(eventBytes: 65_536, batchBytes: 262_144, batchEvents: 500),
                    credits: 1000, heartbeatMilliseconds: 25_000)
            ])
    }

    @Test("under load the welcome has fewer credits")
    func welcomeUnderLoad() {
        var session = Session(id: "s_1", configuration: .init(), at: at(0))
        guard case .welcome(_, _, _, let credits, _)? = said(session.opened(pressure: 0.75, at: at(0))).first else {
            return #expect(Bool(false))
        }
        #expect(credits == 500)
    }

    @Test("no hello within ten seconds closes 4104")
    func helloTimeout() {
        var session = Session(id: "s_1", configuration: .init(), at: at(0))
        _ = session.opened(pressure: 0, at: at(0))
        #expect(session.tick(pressure: 0, lost: nil, at: at(9999)).isEmpty)
        #expect(code(session.tick(pressure: 0, lost: nil, at: at(10_000))) == .helloTimeout)
    }

    @Test("a second hello and a batch before hello are malformed")
    func helloOrder() {
        var session = openSession()
        #expect(code(session.received(.hello(client: nil, token: nil), bytes: 1, pressure: 0, at: at(1))) == .malformedFrame)
        var silent = Session(id: "s_1", configuration: .init(), at: at(0))
        #expect(code(silent.received(.batch(number: 1, parcel(1)), bytes: 1, pressure: 0, at: at(1))) == .malformedFrame)
    }

    @Test("batches count from one without gaps; any other number closes 4005")
    func numbers() {
        var session = openSession()
        #expect(ingested(session.received(.batch(number: 1, parcel(1)), bytes: 1, pressure: 0, at: at(1))) == [1])
        #expect(ingested(session.received(.batch(number: 2, parcel(1)), bytes: 1, pressure: 0, at: at(1))) == [2])
        #expect(code(session.received(.batch(number: 4, parcel(1)), bytes: 1, pressure: 0, at: at(1))) == .malformedFrame)
    }

    @Test("acks go out in the order of the batches, whatever order they were committed in")
    func ackOrder() {
        var session = openSession()
        for number in 1...3 { _ = session.received(.batch(number: Int64(number), parcel(2)), bytes: 1, pressure: 0, at: at(1)) }
        #expect(session.committed(2, [.stored, .stored], pressure: 0, at: at(2)).isEmpty)
        #expect(session.committed(3, [.stored, .stored], pressure: 0, at: at(2)).isEmpty)
        let words = said(session.committed(1, [.stored, .stored], pressure: 0, at: at(2)))
        #expect(words.map(batchNumber) == [1, 2, 3])
    }

    @Test("an ack names what was not stored, duplicates too, with place and id")
    func ackResults() {
        var session = openSession()
        _ = session.received(.batch(number: 1, parcel(3)), bytes: 1, pressure: 0, at: at(1))
        let weak = Verdict.quarantined(Refusal(.weakID))
        let words = said(session.committed(1, [.stored, .duplicate, weak], pressure: 0, at: at(2)))
        #expect(
            words == [
                .ack(
                    batch: 1, credits: 3,
                    results: [
                        .init(index: 1, id: "id-1", verdict: .duplicate), .init(index: 2, id: "id-2", verdict: weak),
                    ])
            ])
    }

    @Test("events beyond the credits are to be sent again and cost none; three such batches in a row close 4101")
    func overCredits() {
        var session = openSession { $0.credits = 3 }
        for number in 1...3 {
            let actions = session.received(.batch(number: Int64(number), parcel(4)), bytes: 1, pressure: 0, at: at(1))
            #expect(ingested(actions).isEmpty)
            guard case .ack(_, let credits, let results)? = said(actions).first else { #expect(Bool(false)); return }
            #expect(credits == 4)
            #expect(results.map(\.verdict.refusal?.reason) == Array(repeating: .overCredits, count: 4))
            #expect(code(actions) == (number == 3 ? .rateLimited : nil))
        }
    }

    @Test("what was taken is acked before three batches beyond the credits close the socket, and nothing more is heard")
    func overCreditsAfterAcks() {
        var session = openSession { $0.credits = 3 }
        _ = session.received(.batch(number: 1, parcel(3)), bytes: 1, pressure: 0, at: at(1))
        for number in 2...4 {
            #expect(said(session.received(.batch(number: Int64(number), parcel(4)), bytes: 1, pressure: 0, at: at(1))).isEmpty)
        }
        #expect(session.received(.batch(number: 5, parcel(1)), bytes: 1, pressure: 0, at: at(2)).isEmpty)
        #expect(session.tick(pressure: 0, lost: nil, at: at(9000)).isEmpty)
        let actions = session.committed(1, [.stored, .stored, .stored], pressure: 0, at: at(9001))
        #expect(said(actions).prefix(4).map(batchNumber) == [1, 2, 3, 4])
        #expect(code(actions) == .rateLimited)
    }

    @Test("acks that do not come keep no socket open for longer than ten seconds")
    func overCreditsWithoutAcks() {
        var session = openSession { $0.credits = 3 }
        for (number, size) in [3, 4, 4, 4].enumerated() {
            _ = session.received(.batch(number: Int64(number + 1), parcel(size)), bytes: 1, pressure: 0, at: at(0))
        }
        #expect(code(session.tick(pressure: 0, lost: nil, at: at(9999))) == nil)
        #expect(code(session.tick(pressure: 0, lost: nil, at: at(10_000))) == .rateLimited)
    }

    @Test("a batch within the credits clears the count of those beyond")
    func overCreditsCleared() {
        var session = openSession { $0.credits = 3 }
        for (number, size) in [4, 4, 1, 4, 4].enumerated() {
            let actions = session.received(.batch(number: Int64(number + 1), parcel(size)), bytes: 1, pressure: 0, at: at(1))
            #expect(code(actions) == nil)
        }
    }

    @Test("credits are withheld under pressure and given back later")
    func credits() {
        var session = openSession { $0.credits = 100 }
        _ = session.received(.batch(number: 1, parcel(60)), bytes: 1, pressure: 1, at: at(1))
        let ack = said(session.committed(1, Array(repeating: .stored, count: 60), pressure: 1, at: at(2)))
        #expect(ack == [.ack(batch: 1, credits: 0, results: [])])
        #expect(session.tick(pressure: 1, lost: nil, at: at(1000)).isEmpty)
        #expect(said(session.tick(pressure: 0.75, lost: nil, at: at(2000))) == [.credits(10)])
        #expect(said(session.tick(pressure: 0, lost: nil, at: at(3000))) == [.credits(50)])
        #expect(session.tick(pressure: 0, lost: nil, at: at(4000)).isEmpty)
    }

    @Test("a heartbeat is answered; two and a half heartbeats of silence close 4201")
    func heartbeat() {
        var session = openSession()
        #expect(said(session.received(.heartbeat, bytes: 1, pressure: 0, at: at(20_000))) == [.heartbeat(time: at(20_000).time)])
        #expect(code(session.tick(pressure: 0, lost: nil, at: at(20_000 + 62_500))) == nil)
        #expect(code(session.tick(pressure: 0, lost: nil, at: at(20_000 + 62_501))) == .heartbeatLost)
    }

    @Test("silence is not held against a client that is not being read")
    func saturation() {
        var session = openSession { $0.maximumUncommittedBytes = 100 }
        _ = session.received(.batch(number: 1, parcel(1)), bytes: 100, pressure: 0, at: at(1))
        #expect(session.isSaturated)
        #expect(code(session.tick(pressure: 0, lost: nil, at: at(100_000))) == nil)
        _ = session.committed(1, [.stored], pressure: 0, at: at(100_001))
        #expect(!session.isSaturated)
    }

    private func proven(until end: Int64) -> Proof {
        .user(ProvenUser(id: "u1", thread: nil, expiresAt: Timestamp(microseconds: at(end).time.microseconds)))
    }

    @Test("a token is looked at and answered, whatever it proves, and never closes")
    func auth() {
        var session = openSession()
        let wanted = session.received(.auth(token: "x"), bytes: 1, pressure: 0, at: at(1))
        #expect(wanted.contains { if case .prove(let token) = $0 { token == "x" } else { false } })
        #expect(said(session.proved(.none, at: at(2))) == [.auth(identity: .claimed, reason: "identity_off")])
        let failed = session.proved(.failed(Refusal(.invalidToken)), at: at(3))
        #expect(said(failed) == [.auth(identity: .claimed, reason: "invalid_token")] && code(failed) == nil)
        #expect(said(session.proved(proven(until: 60_000), at: at(4))) == [.auth(identity: .verified, reason: nil)])
    }

    @Test("a proof that runs out is said to, and closes half a minute later")
    func expiry() {
        var session = openSession { $0.heartbeatMilliseconds = 3_600_000 }
        _ = session.proved(proven(until: 5000), at: at(0))
        #expect(said(session.tick(pressure: 0, lost: nil, at: at(4999))).isEmpty)
        #expect(said(session.tick(pressure: 0, lost: nil, at: at(5000))) == [.auth(identity: .claimed, reason: "expired_token")])
        #expect(code(session.tick(pressure: 0, lost: nil, at: at(34_999))) == nil)
        #expect(code(session.tick(pressure: 0, lost: nil, at: at(35_000))) == .tokenExpired)
    }

    @Test("a token that never held closes nothing, however long it is there")
    func neverHeld() {
        var session = openSession { $0.heartbeatMilliseconds = 3_600_000 }
        _ = session.proved(.failed(Refusal(.expiredToken)), at: at(0))
        #expect(session.tick(pressure: 0, lost: nil, at: at(60_000)).isEmpty)
    }

    @Test("a new token in time keeps the socket")
    func renewal() {
        var session = openSession { $0.heartbeatMilliseconds = 3_600_000 }
        _ = session.proved(proven(until: 5000), at: at(0))
        _ = session.tick(pressure: 0, lost: nil, at: at(5000))
        _ = session.proved(proven(until: 90_000), at: at(20_000))
        #expect(code(session.tick(pressure: 0, lost: nil, at: at(60_000))) == nil)
    }

    @Test("an unknown frame is answered with code 0 and left aside")
    func unknownFrame() {
        var session = openSession()
        let actions = session.received(.unknown(type: "dance"), bytes: 1, pressure: 0, at: at(1))
        guard case .error(let number, let name, _)? = said(actions).first else { #expect(Bool(false)); return }
        #expect((number, name) == (0, "unknown_frame"))
        #expect(code(actions) == nil)
    }

    @Test(
        "a revoked key is told and closed 4002",
        arguments: [
            (Reason.revokedKey, CloseCode.revokedKey), (.expiredKey, .revokedKey), (.unknownKey, .unknownKey), (.malformedKey, .unknownKey),
            (.missingKey, .unknownKey), (.originForbidden, .originForbidden), (.originNull, .originForbidden),
            (.secretKeyInBrowser, .secretKeyInBrowser),
        ])
    func accessLost(reason: Reason, expected: CloseCode) {
        var session = openSession()
        let actions = session.tick(pressure: 0, lost: Refusal(reason), at: at(1))
        #expect(said(actions) == [.error(code: Int(expected.rawValue), name: reason.rawValue, refusal: Refusal(reason))])
        #expect(code(actions) == expected)
    }

    @Test("goodbye comes first, acks are finished, then it closes 4200")
    func drain() {
        var session = openSession()
        _ = session.received(.batch(number: 1, parcel(1)), bytes: 1, pressure: 0, at: at(1))
        session.drain(goodbyeAt: 100, afterMilliseconds: 77, deadline: 10_000)
        #expect(session.tick(pressure: 0, lost: nil, at: at(50)).isEmpty)
        #expect(
            said(session.tick(pressure: 0, lost: nil, at: at(100))) == [.goodbye(code: 4200, reason: "draining", afterMilliseconds: 77)])
        #expect(session.tick(pressure: 0, lost: nil, at: at(150)).isEmpty)
        #expect(said(session.committed(1, [.stored], pressure: 0, at: at(160))).map(batchNumber) == [1])
        #expect(code(session.tick(pressure: 0, lost: nil, at: at(200))) == .draining)
    }

    @Test("the close comes as much later as goodbye said")
    func goodbye() {
        var session = openSession()
        session.drain(goodbyeAt: 100, afterMilliseconds: 500, deadline: 10_000)
        #expect(said(session.tick(pressure: 0, lost: nil, at: at(120))).count == 1)
        #expect(session.tick(pressure: 0, lost: nil, at: at(619)).isEmpty)
        #expect(code(session.tick(pressure: 0, lost: nil, at: at(620))) == .draining)
    }

    @Test("a drain does not wait beyond its deadline")
    func drainDeadline() {
        var session = openSession()
        _ = session.received(.batch(number: 1, parcel(1)), bytes: 1, pressure: 0, at: at(1))
        session.drain(goodbyeAt: 100, afterMilliseconds: 0, deadline: 1000)
        _ = session.tick(pressure: 0, lost: nil, at: at(100))
        #expect(code(session.tick(pressure: 0, lost: nil, at: at(1000))) == .draining)
    }

    @Test("a closed session takes nothing more, and lets go of a peer that does not answer")
    func closing() {
        var session = openSession()
        _ = session.end(with: .slowConsumer, Refusal(.overloaded), at: at(10))
        #expect(session.received(.batch(number: 1, parcel(1)), bytes: 1, pressure: 0, at: at(11)).isEmpty)
        #expect(session.tick(pressure: 0, lost: nil, at: at(2009)).isEmpty)
        guard case .disconnect? = session.tick(pressure: 0, lost: nil, at: at(2010)).first else { #expect(Bool(false)); return }
    }

    @Test("a batch of more events than announced closes 4006")
    func batchTooLarge() {
        var session = openSession()
        #expect(code(session.received(.batch(number: 1, parcel(501)), bytes: 1, pressure: 0, at: at(1))) == .frameTooLarge)
    }
}

// MARK: reading actions

private func at(_ uptime: Int64) -> Moment { Moment(uptime: uptime, time: Timestamp(milliseconds: 1_795_000_000_000 + uptime)) }

private func parcel(_ count: Int) -> Parcel {
    Parcel(items: (0..<count).map { .event(Event(id: "id-\($0)", body: .event(name: "clicked"))) })
}

private func said(_ actions: [SessionAction]) -> [ServerFrame] {
    actions.compactMap { if case .send(let frame) = $0 { frame } else { nil } }
}

private func code(_ actions: [SessionAction]) -> CloseCode? {
    actions.compactMap { if case .close(let code) = $0 { code } else { nil } }.first
}

private func ingested(_ actions: [SessionAction]) -> [Int64] {
    actions.compactMap { if case .ingest(let batch, _) = $0 { batch } else { nil } }
}

private func batchNumber(_ frame: ServerFrame) -> Int64? {
    if case .ack(let batch, _, _) = frame { batch } else { nil }
}
