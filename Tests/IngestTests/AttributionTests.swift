@testable import Ingest
import Events
import Keys
import TestKit
import Testing

@Suite("Attribution")
struct AttributionTests {
    private let ann = Proof.user(ProvenUser(id: "ann", thread: nil, expiresAt: Sample.time(60)))

    private func attribute(
        _ user: String?, _ thread: String? = "t-1", _ lane: Lane = .public, _ mode: Project.CheckMode = .enforce, by proof: Proof = .none
    ) -> (user: Event.User?, finding: Attribution.Finding) {
        var event = Sample.message(Sample.id(1))
        event.thread = thread
        event.user = user.map { Event.User(id: $0, props: JSONText(trusted: Array("{}".utf8))) }
        let finding = Attribution(mode: mode, lane: lane, proof: proof, at: Sample.noon).attribute(&event)
        return (event.user, finding)
    }

    private func reason(_ finding: Attribution.Finding) -> Reason? {
        switch finding {
        case .fine: nil
        case .overlooked(let reason): reason
        case .refused(let refusal), .retry(let refusal): refusal.reason
        }
    }

    @Test("a proof makes the sender's events that user's, named or not, and keeps the properties")
    func proven() {
        #expect(attribute("ann", by: ann).user == Event.User(id: "ann", props: JSONText(trusted: Array("{}".utf8)), isProven: true))
        #expect(attribute(nil, by: ann).user == Event.User(id: "ann", isProven: true))
    }

    @Test("another name, or none with a proof, is refused, and in a dry run only counted", arguments: [Project.CheckMode.enforce, .dryRun])
    func others(_ mode: Project.CheckMode) {
        for (found, expected) in [
            (attribute("bob", "t-1", .public, mode, by: ann), Reason.identityMismatch),
            (attribute("bob", "t-1", .public, mode), .identityRequired),
            (attribute("bob", "t-1", .public, mode, by: .failed(Refusal(.invalidToken))), .invalidToken),
        ] {
            #expect(reason(found.finding) == expected)
            #expect(found.user?.isProven == false)
            if case .overlooked = found.finding { #expect(mode == .dryRun) } else { #expect(mode == .enforce) }
        }
    }

    @Test("events that name nobody need no proof")
    func unnamed() {
        for proof in [Proof.none, .failed(Refusal(.invalidToken))] {
            let found = attribute(nil, by: proof)
            #expect(reason(found.finding) == nil && found.user == nil)
        }
    }

    @Test("a token that ran out asks for the events again, also those without a name")
    func expired() {
        let stale = Proof.user(ProvenUser(id: "ann", thread: nil, expiresAt: Sample.noon))
        for user in ["ann", nil] {
            guard case .retry(let refusal) = attribute(user, by: stale).finding else {
                Issue.record("an expired token's event was decided")
                continue
            }
            #expect(refusal.reason == .expiredToken && refusal.reason.isTemporary)
        }
        #expect(reason(attribute("ann", "t-1", .public, .dryRun, by: stale).finding) == .expiredToken)
    }

    @Test("a token for one conversation speaks for no other")
    func thread() {
        let bound = Proof.user(ProvenUser(id: "ann", thread: "t-1", expiresAt: Sample.time(60)))
        #expect(reason(attribute("ann", by: bound).finding) == nil)
        #expect(reason(attribute("ann", nil, by: bound).finding) == nil)
        #expect(reason(attribute("ann", "t-2", by: bound).finding) == .identityMismatch)
    }

    @Test("a backend vouches for the users it names")
    func backend() { #expect(attribute("ann", "t-1", .secret).user?.isProven == true) }
}
