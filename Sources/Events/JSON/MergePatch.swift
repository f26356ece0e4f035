extension JSONText {
    /// This value changed as a merge patch says (RFC 7396): its members take the place of ours, `null` takes ours away.
    /// - Throws: `JSONDocument.Fault` where either is no JSON.
    public func patched(with patch: JSONText) throws -> JSONText {
        try JSONDocument.read(bytes, isOurs: true) { mine in
            try JSONDocument.read(patch.bytes, isOurs: true) { theirs in
                var writer = JSONWriter()
                writer.merge(mine, theirs)
                return JSONText(trusted: writer.bytes)
            }
        }
    }
}

extension JSONWriter {
    /// The patch's own nulls never arrive in the result, however deep they are.
    fileprivate mutating func merge(_ mine: JSONValue?, _ theirs: JSONValue) {
        guard theirs.kind == .object else {
            append(theirs)
            return
        }
        object { writer in
            var named: Set<String> = []
            theirs.forEachMember { key, _ in named.insert(String(decoding: key, as: UTF8.self)) }
            if let mine, mine.kind == .object {
                mine.forEachMember { key, value in
                    let name = String(decoding: key, as: UTF8.self)
                    guard !named.contains(name) else { return }
                    writer.key(name)
                    writer.append(value)
                }
            }
            theirs.forEachMember { key, value in
                guard !value.isNull else { return }
                let name = String(decoding: key, as: UTF8.self)
                writer.key(name)
                writer.merge(mine?.kind == .object ? mine?.member(name) : nil, value)
            }
        }
    }
}
