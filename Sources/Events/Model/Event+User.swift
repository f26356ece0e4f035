extension Event.User {
    /// What stands in front of a proven user's ID at rest; no sender's ID may begin with it.
    public static let mark: Character = "\u{1}"

    /// The name a store keeps a user under: somebody who is proven and somebody who only says the same name are two (P-AUTH-4).
    public var key: String { isProven ? "\(Self.mark)\(id)" : id }

    /// The user of a name that a store kept.
    public init(key: String, props: JSONText? = nil) {
        let isProven = key.first == Self.mark
        self.init(id: isProven ? String(key.dropFirst()) : key, props: props, isProven: isProven)
    }

    /// The names both may be kept under: the one that is proven, and the one that is said.
    public static func keys(of id: String) -> [String] { [Self(id: id, isProven: true).key, id] }
}
