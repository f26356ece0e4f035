public import Events

/// A message that can't go into the store: it is no delivery, or the store refuses it again and again while it takes others.
public struct Poison: Sendable {
    public enum Cause: Sendable, Equatable {
        /// It can't be read.
        case unreadable(String)
        /// The store refused it alone, so many times, while it was there to take something.
        case refused(String, attempts: Int)
    }

    public var subject: String
    public var position: StreamPosition
    public var body: [UInt8]
    public var cause: Cause
    /// nil where it can't be read.
    public var delivery: Delivery?
    /// The project, by its subject; nil where that names none.
    public var project: ProjectID?
    public var receivedAt: Timestamp

    /// One sentence for people.
    public var explanation: String {
        switch cause {
        case .unreadable(let why): "The stream held what is no delivery: \(why)."
        case .refused(let why, let attempts): "The store refused it \(attempts) times: \(why)."
        }
    }

    /// The same as something to be kept in quarantine: its events whole, its tally as it was. nil where nobody knows whose it is.
    public var quarantined: Delivery? {
        let refusal = Refusal(.internal, explanation)
        if var delivery {
            delivery.setAside =
                delivery.events.map {
                    SetAside(id: $0.event.id, type: $0.event.type, refusal: refusal, payload: $0.event.json())
                } + delivery.setAside
            delivery.events = []
            return delivery
        }
        guard let project else { return nil }
        var writer = JSONWriter()
        writer.value(String(decoding: body, as: UTF8.self))
        var tally = Tally()
        tally.received = 1
        var delivery = Delivery(
            source: Source(project: project, key: "stream", lane: .secret, transport: Transport(rawValue: "stream")),
            receivedAt: receivedAt,
            events: [], setAside: [SetAside(id: nil, type: nil, refusal: refusal, payload: JSONText(trusted: writer.bytes))], tally: tally)
        delivery.position = position
        return delivery
    }
}
