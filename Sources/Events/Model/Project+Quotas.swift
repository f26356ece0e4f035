// Quotas as JSON: `"keyQuota"` and `"addressQuota"` count events, as they did before there were others; the others are members of
// `"quotas"`, called `session`, `thread` and `project`, and for bytes `key.bytes`, `address.bytes` and so on. null is no limit.

extension Project.Quotas {
    /// Every quota: an owner and a unit.
    public static var all: [(owner: Owner, unit: Unit)] { Owner.allCases.flatMap { owner in Unit.allCases.map { (owner, $0) } } }

    /// `thread`, `thread.bytes`.
    public static func name(_ owner: Owner, _ unit: Unit) -> String { unit == .events ? owner.rawValue : "\(owner.rawValue).bytes" }

    /// The quota of that name.
    public static func named(_ name: String) -> (owner: Owner, unit: Unit)? { all.first { self.name($0.owner, $0.unit) == name } }

    /// What JSON has as members of their own, for those who asked before there were others.
    fileprivate static let outside = [("keyQuota", Owner.key), ("addressQuota", Owner.address)]

    /// Takes over what the members say; what is absent stays.
    public mutating func read(_ json: JSONValue) throws(Refusal) {
        for (name, owner) in Self.outside { if let quota = try json.quota(name, field: name) { self[owner, .events] = quota } }
        guard let others = json["quotas"] else { return }
        guard others.kind == .object else { throw Refusal(.badRequest, field: "quotas", "The field `quotas` must be an object.") }
        var unknown: String?
        others.forEachMember { key, _ in
            let name = String(decoding: key, as: UTF8.self)
            if Self.named(name) == nil { unknown = unknown ?? name }
        }
        if let unknown {
            let names = Self.all.map { Self.name($0.owner, $0.unit) }.joined(separator: ", ")
            throw Refusal(.badRequest, field: "quotas.\(unknown.prefix(64))", "There is no such quota: choose of \(names).")
        }
        for (owner, unit) in Self.all {
            let name = Self.name(owner, unit)
            if let quota = try others.quota(name, field: "quotas.\(name)") { self[owner, unit] = quota }
        }
    }
}

extension JSONValue {
    /// `.some(nil)`: no limit.
    fileprivate func quota(_ name: String, field: String) throws(Refusal) -> Project.Quota?? {
        guard let value = member(name) else { return nil }
        if value.isNull { return .some(nil) }
        guard let rate = value["perSecond"]?.double, let burst = value["burst"]?.double, rate > 0, burst >= 1, rate <= 1e12, burst <= 1e12
        else {
            throw Refusal(
                .badRequest, field: field, "The field `\(field)` must be null, or an object with `perSecond` above 0 and `burst` from 1.")
        }
        return Project.Quota(perSecond: rate, burst: burst)
    }
}

extension JSONWriter {
    public mutating func members(of quotas: Project.Quotas) {
        for (name, owner) in Project.Quotas.outside {
            key(name)
            value(quotas[owner, .events])
        }
        key("quotas")
        object { writer in
            for (owner, unit) in Project.Quotas.all where unit == .bytes || !Project.Quotas.outside.contains(where: { $0.1 == owner }) {
                writer.key(Project.Quotas.name(owner, unit))
                writer.value(quotas[owner, unit])
            }
        }
    }

    private mutating func value(_ quota: Project.Quota?) {
        guard let quota else { return null() }
        object {
            $0.field("perSecond", quota.perSecond); $0.field("burst", quota.burst)
        }
    }
}
