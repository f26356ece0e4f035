import Events
import Keys
import Scrubbing

/// Whose words the events of a parcel are, and whether that is proven (protocol, P-AUTH).
struct Attribution: Sendable {
    enum Finding {
        case fine
        /// A dry run lets it pass.
        case overlooked(Reason)
        case refused(Refusal)
        /// The proof ran out on the way: with a new one the event is welcome.
        case retry(Refusal)
    }

    let mode: Project.CheckMode
    let lane: Lane
    private(set) var proof: Proof

    init(mode: Project.CheckMode, lane: Lane, proof: Proof, at now: Timestamp) {
        self.mode = mode
        self.lane = lane
        self.proof =
            if case .user(let user) = proof, user.expiresAt <= now { .failed(Refusal(.expiredToken, field: "token")) } else { proof }
    }

    /// The proof as the project's rules let it be said: where they hash users' IDs, events name the hash.
    func scrubbed(with scrubber: Scrubber) -> Attribution {
        guard case .user(var user) = proof else { return self }
        var event = Event(id: "", user: Event.User(id: user.id), body: .identify)
        _ = scrubber.scrub(&event)
        user.id = event.user?.id ?? user.id
        var attribution = self
        attribution.proof = .user(user)
        return attribution
    }

    /// Whether there is nothing to look at.
    var isIdle: Bool { mode == .off }

    /// Says whose words an event is, in the event, or why they can't be taken for that.
    func attribute(_ event: inout Event) -> Finding {
        if lane == .secret {
            // P-AUTH-5: a backend knows its users.
            event.user?.isProven = true
            return .fine
        }
        switch proof {
        case .user(let user):
            if let thread = user.thread, let named = event.thread, named != thread {
                return weigh(Refusal(.identityMismatch, field: "thread", "The token speaks for another conversation."))
            }
            if let named = event.user?.id, named != user.id {
                return weigh(Refusal(.identityMismatch, field: "user.id", "The token proves another user."))
            }
            event.user = Event.User(id: user.id, props: event.user?.props, isProven: true)
            return .fine
        case .failed(let refusal):
            return refusal.reason == .expiredToken && mode == .enforce ? .retry(refusal) : event.user == nil ? .fine : weigh(refusal)
        case .none:
            return event.user == nil ? .fine : weigh(Refusal(.identityRequired, field: "user"))
        }
    }

    private func weigh(_ refusal: Refusal) -> Finding { mode == .enforce ? .refused(refusal) : .overlooked(refusal.reason) }
}
