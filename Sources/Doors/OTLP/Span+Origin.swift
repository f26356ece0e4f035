import Events

extension Span {
    /// The program and the library that made a span: the same of all spans beside it, so what is made of it is made once.
    final class Origin {
        private let resource: [String: AttributeValue]
        private let room: SharedRoom
        private let library: String
        private let version: String

        init(resource: [String: AttributeValue], library: String, version: String, room: SharedRoom) {
            (self.resource, self.room) = (resource, room)
            (self.library, self.version) = (Self.cut(library, to: Event.Bounds.name), Self.cut(version, to: Event.Bounds.name))
        }

        private lazy var attributes = Attributes(resource)

        /// The thread that the resource names. One that is too long is cut, and still too long: it is refused with a run, not with its text
        /// for each of them.
        func thread(_ names: NameList) -> String? { attributes.look(names, \.name).map { Self.cut($0, to: Event.Bounds.id + 1) } }

        private lazy var written: (json: JSONText, omitted: Int) = {
            var omitted = 0
            return (AttributeValue.map(Span.bounded(resource, &omitted)).json ?? "{}", omitted)
        }()

        /// What a span keeps of the resource; nil where there is nothing, or no room for it.
        func keptResource(_ omitted: inout Int) -> AttributeValue? {
            guard !resource.isEmpty else { return nil }
            guard room.take(written.json.bytes.count) else {
                omitted += resource.count
                return nil
            }
            omitted += written.omitted
            return .written(written.json)
        }

        /// nil where the library has no name.
        private(set) lazy var keptLibrary: AttributeValue? = AttributeValue.text(library).text.flatMap { name in
            AttributeValue.map(["name": .text(name), "version": .text(version)]).json.map { .written($0) }
        }

        private static func cut(_ text: String, to most: Int) -> String {
            text.utf8.count <= most ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(most)))
        }
    }

    /// How much of what the spans of a body share may be kept with each of them: else a resource of half a megabyte and some thousand spans
    /// that say nothing unfold to gigabytes.
    final class SharedRoom {
        private var left: Int

        /// - Parameter size: of the body, in bytes.
        init(ofBody size: Int, lane: Lane) {
            let most = size + 32 << 20
            // A key that anybody may have gets nothing for little.
            left = lane == .public ? min(16 * size, most) : min(max(16 * size, 8 << 20), most)
        }

        fileprivate func take(_ count: Int) -> Bool {
            guard count <= left else { return false }
            left -= count
            return true
        }
    }
}
