import Events

extension SentEvent {
    /// A feedback event: a vote on a message or run. Without a word of feedback it is kept, and changes nothing.
    mutating func feedback() throws(Refusal) -> [Event] {
        let target = try need(runID, "runId")
        let id = derivedID
        guard let vote = Vote(members.take("feedback")) else { return other() }
        _ = members.take("overwrite")  // Lunary's server pays no heed to it.
        var metadata = ObjectText()
        metadata.merge(members.take("metadata"), orUnder: "metadata")
        metadata.set("feedback", vote.said)
        return [
            Event(
                id: id, thread: parent, at: at, user: user, metadata: metadata.text,
                body: .feedback(Event.Feedback(target: target, thumb: vote.thumb, comment: vote.comment, leaves: vote.leaves)),
                unknown: kept())
        ]
    }

    /// The vote that a message came with.
    func embeddedVote(_ feedback: JSONValue?, on target: String, in thread: String) -> [Event] {
        guard let vote = Vote(feedback) else { return [] }
        var metadata = ObjectText()
        metadata.set("feedback", vote.said)
        let id = DerivedID.companion("feedback", Array(target.utf8) + [0] + fingerprint)
        return [
            Event(
                id: id, thread: thread, at: at, user: user, metadata: metadata.text,
                body: .feedback(Event.Feedback(target: target, thumb: vote.thumb, comment: vote.comment, leaves: vote.leaves)))
        ]
    }
}

/// What a feedback object says: `{"thumb":"up"|"down"|null,"comment"?}`, also spelled `thumbs`, or the thumb alone.
struct Vote {
    var thumb: Event.Thumb?
    var comment: String?
    /// Lunary lays the object over what was said before, member by member: `{"thumb":null}` leaves the comment, and
    /// `{"comment":"…"}` the thumb.
    var leaves: Event.Feedback.Part?
    /// The object itself where it says anything but a thumb and a comment on it.
    var said: JSONText?

    /// nil for no feedback at all.
    init?(_ value: JSONValue?) {
        guard let value else { return nil }
        if let text = value.string {
            guard let thumb = Event.Thumb(rawValue: text.lowercased()) else { return nil }
            (self.thumb, leaves) = (thumb, .comment)
            return
        }
        guard value.kind == .object, value.count > 0 else { return nil }
        let named = value["thumb"] ?? value["thumbs"]
        thumb = (named?.string?.lowercased()).flatMap { Event.Thumb(rawValue: $0) }
        let remark = value["comment"]
        comment = remark?.string
        if named == nil { leaves = .thumb } else if remark == nil { leaves = .comment }
        let understood = (thumb == nil ? 0 : 1) + (comment == nil ? 0 : 1)
        if thumb == nil || value.count != understood { said = JSONText(value) }
    }
}
