extension Event {
    /// What a vote, score, remark or trace note is about.
    public var target: String? {
        switch body {
        case .feedback(let feedback): feedback.target
        case .score(let score): score.target
        case .comment(let comment): comment.target
        case .trace(let target, _): target
        default: nil
        }
    }
}
