/// What lists are narrowed by and cannot be told from one event: kept beside the commits, as search is. A store keeps its number.
public enum FactKind: Int, CaseIterable, Sendable {
    /// A run that failed; one whose parent has not arrived; one that a conversation shows under no message.
    case failed = 1
    case pending = 2
    case orphan = 3
    /// An assistant's message whose words a run produced, or did not.
    case confirmed = 4
    case differs = 5

    public static let ofRuns: [FactKind] = [.failed, .pending, .orphan]
    public static let ofAnswers: [FactKind] = [.confirmed, .differs]
    /// Found out where a thread with turns is read whole.
    public static let ofViews: [FactKind] = [.orphan, .confirmed, .differs]
}
