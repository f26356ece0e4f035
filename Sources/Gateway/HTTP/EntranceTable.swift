import Events

/// Which door's entrance a request's path leads to.
struct EntranceTable: Sendable {
    private struct Pattern: Sendable {
        enum Segment: Sendable { case literal(String), parameter(String) }
        var segments: [Segment]
        var route: DoorRoute
        var literals: Int
    }

    struct Match {
        var route: DoorRoute
        var parameters: [String: String]
    }

    /// Paths without parameters, as they are most often called.
    private var plain: [String: [Match]] = [:]
    /// All of them, by the number of segments.
    private var patterns: [Int: [Pattern]] = [:]

    init(_ routes: [DoorRoute]) {
        for route in routes {
            let path = route.entrance.path
            let segments = path.split(separator: "/").map { segment -> Pattern.Segment in
                segment.hasPrefix("{") && segment.hasSuffix("}")
                    ? .parameter(String(segment.dropFirst().dropLast())) : .literal(String(segment))
            }
            let literals = segments.count { if case .literal = $0 { true } else { false } }
            patterns[segments.count, default: []].append(Pattern(segments: segments, route: route, literals: literals))
            if literals == segments.count { plain[path, default: []].append(Match(route: route, parameters: [:])) }
        }
    }

    /// The entrances of a path, one a method. Paths that match whole go before those that match behind a prefix, and literal segments
    /// before parameters.
    func matches(_ path: String) -> [Match] {
        if let matches = plain[path] { return matches }
        let segments = path.split(separator: "/")
        for length in stride(from: segments.count, to: 0, by: -1) {
            guard let candidates = patterns[length] else { continue }
            let isPrefixed = length < segments.count
            let tail = segments.suffix(length)
            let matching = candidates.filter { (!isPrefixed || $0.route.entrance.underAnyPrefix) && Self.matches(tail, $0.segments) }
            guard let literals = matching.map(\.literals).max() else { continue }
            return matching.filter { $0.literals == literals }.map {
                Match(route: $0.route, parameters: Self.parameters(of: tail, $0.segments))
            }
        }
        return []
    }

    private static func matches(_ path: ArraySlice<Substring>, _ pattern: [Pattern.Segment]) -> Bool {
        zip(path, pattern).allSatisfy { segment, expected in
            if case .literal(let text) = expected { segment == text } else { true }
        }
    }

    private static func parameters(of path: ArraySlice<Substring>, _ pattern: [Pattern.Segment]) -> [String: String] {
        var parameters: [String: String] = [:]
        for (segment, expected) in zip(path, pattern) {
            if case .parameter(let name) = expected { parameters[name] = QueryText.decoded(segment, plusIsSpace: false) }
        }
        return parameters
    }
}
