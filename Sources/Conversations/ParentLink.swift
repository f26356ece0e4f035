/// How a run hangs under the parent it names.
public enum ParentLink: Int, Sendable, Equatable {
    /// It names none.
    case none = 0
    /// The other end has not arrived; it may, minutes or days from now.
    case pending = 1
    case bound = 2
    /// It would close a circle, or names the run itself.
    case refused = 3

    public var name: String {
        switch self {
        case .none: "none"
        case .pending: "pending"
        case .bound: "bound"
        case .refused: "refused"
        }
    }
}

/// Decides the links of runs from what is known of them; the same set of runs gives the same links in any order.
public enum ParentLinks {
    /// Chains longer than this are taken for circles.
    public static let maximumDepth = 256

    /// The link of run `id` that names `parent`.
    ///
    /// P-BIND-3: a run may name a message with its own ID (a trace that carries the message's); it may not name itself.
    /// P-BIND-4: a circle is cut at the run whose ID sorts first among its members, and only there.
    /// - Parameter parentOfRun: the parent a run names; `.some(nil)` for a run that names none, nil for no such run.
    public static func link(
        of id: String, naming parent: String?, messageExists: (String) throws -> Bool, parentOfRun: (String) throws -> String??
    ) rethrows -> ParentLink {
        guard let parent else { return .none }
        if parent == id { return try messageExists(parent) ? .bound : .refused }
        guard let next = try parentOfRun(parent) else { return try messageExists(parent) ? .bound : .pending }
        var members: Set<String> = [parent]
        var current = next
        while let step = current {
            // Back at the run itself: the circle is cut at its smallest member.
            if step == id { return members.allSatisfy { id < $0 } ? .refused : .bound }
            // A circle further up, of which this run is no part: it is cut there.
            guard members.insert(step).inserted else { return .bound }
            if members.count > maximumDepth { return .refused }
            guard let following = try parentOfRun(step) else { return .bound }
            current = following
        }
        return .bound
    }
}
