import Events

/// What is known of IDs: answers, and for those that were asked about and are not among them, what stands for nothing.
///
/// A batch asks the same IDs about many things, and most of them are new: which were asked is one set for all of these, and no table has an
/// entry for what is not there.
struct Known<Value> {
    private var found: [OwnedID: Value] = [:]
    private var asked: Set<OwnedID> = []
    private let nothing: Value

    init(nothing: Value) { self.nothing = nothing }

    /// These were asked about: where nothing else is said of one, nothing is there.
    mutating func note(asked keys: Set<OwnedID>) {
        if asked.isEmpty { asked = keys } else { asked.formUnion(keys) }
    }

    /// nil: nobody asked.
    subscript(key: OwnedID) -> Value? {
        get {
            if !found.isEmpty, let value = found[key] { return value }
            return asked.contains(key) ? nothing : nil
        }
        set { found[key] = newValue }
        _modify {
            // Taken out meanwhile, so that a set in it is changed where it stands.
            var value = found.removeValue(forKey: key) ?? (asked.contains(key) ? nothing : nil)
            defer { if let value { found[key] = value } }
            yield &value
        }
    }

    mutating func forget() { (found, asked) = ([:], []) }
}
