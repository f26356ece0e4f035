import AgnostDoor
import Events
import LunaryDoor
import NativeDoor
import OTLPDoor
import OpikDoor

/// One request to a door, which keeps its moment of arrival wherever it is put among others.
///
/// Agnost's turns and Opik's patches carry no time of their own: theirs is the moment they arrive. Were that to follow the order of
/// sending, another order would say something else; so each request has the moment it had in the recorded order.
struct Call: Sendable {
    enum Dialect: String, Sendable, CaseIterable {
        case lunary, opik, agnost, otlp, native

        var door: any Door {
            switch self {
            case .lunary: LunaryDoor()
            case .opik: OpikDoor()
            case .agnost: AgnostDoor()
            case .otlp: OTLPDoor()
            case .native: NativeDoor()
            }
        }
    }

    enum Body: Sendable {
        case whole([UInt8])
        /// `{NAME:[…]}`
        case list(name: String, [JSONText])
    }

    var dialect: Dialect
    var method = Entrance.Method.post
    var path: String
    var lane = Lane.secret
    var contentType: String? = "application/json"
    var body: Body
    var receivedAt = Timestamp(microseconds: 0)
    /// Which items of the parcel are handed on, in which order; nil: as the door read them. Bodies whose parts need each other are taken
    /// apart here, behind their door: a span that speaks of no model is kept for the sake of its neighbours, and an answer in Lunary's
    /// old thread API has its thread from the question in front of it.
    var picks: [Int]?

    var bytes: [UInt8] {
        switch body {
        case .whole(let bytes): return bytes
        case .list(let name, let elements):
            var writer = JSONWriter()
            writer.object { writer in
                writer.key(name)
                writer.array(elements) { $0.value($1) }
            }
            return writer.bytes
        }
    }

    /// The entrance with the most literal segments, and what stands for its `{name}`s.
    func request() -> DoorRequest? {
        let segments = path.split(separator: "?")[0].split(separator: "/").map(String.init)
        var best: (entrance: Entrance, parameters: [String: String], literals: Int)?
        for entrance in dialect.door.entrances where entrance.method == method {
            let pattern = entrance.path.split(separator: "/").map(String.init)
            guard pattern.count <= segments.count else { continue }
            var parameters: [String: String] = [:]
            let matches = zip(pattern, segments.suffix(pattern.count)).allSatisfy { expected, segment in
                guard expected.hasPrefix("{") else { return expected == segment }
                parameters[String(expected.dropFirst().dropLast())] = segment
                return true
            }
            let literals = pattern.count - parameters.count
            if matches, best.map({ literals > $0.literals }) ?? true { best = (entrance, parameters, literals) }
        }
        return best.map { best in
            DoorRequest(
                entrance: best.entrance, lane: lane, parameters: best.parameters, contentType: contentType, body: bytes,
                receivedAt: receivedAt)
        }
    }

    /// What the door makes of it; nothing where it is asked rather than written to.
    func parcel() throws -> Parcel {
        guard let request = request(), !request.entrance.asks else { return Parcel(items: []) }
        var parcel = try dialect.door.decode(request)
        if let picks { parcel.items = picks.map { parcel.items[$0] } }
        return parcel
    }

    /// One request an item.
    func split() throws -> [Call] {
        func copies<Part>(_ parts: [Part], _ change: (inout Call, Part) -> Void) -> [Call] {
            parts.map { part in
                var call = self
                change(&call, part)
                return call
            }
        }
        if case .list(let name, let elements) = body { return copies(elements) { $0.body = .list(name: name, [$1]) } }
        guard request()?.entrance.asks == false else { return [self] }
        return copies(Array(try parcel().items.indices)) { $0.picks = [$1] }
    }

    /// Tells requests with the same effect.
    var signature: String { "\(lane) \(method) \(path) \(picks ?? []) \(String(decoding: bytes, as: UTF8.self))" }

    /// The same items in another order.
    func shuffled(using generator: inout SeededGenerator) throws -> Call {
        var call = self
        if case .list(let name, let elements) = body {
            call.body = .list(name: name, elements.shuffled(using: &generator))
        } else {
            call.picks = try parcel().items.indices.shuffled(using: &generator)
        }
        return call
    }
}
