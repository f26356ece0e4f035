extension Project.Settings {
    /// Their form at rest: a JSON object, in which a quota of `null` means no limit and absence the default.
    public var stored: String {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("origins", origins)
            writer.field("allowsMissingOrigin", allowsMissingOrigin)
            writer.field("allowsNullOrigin", allowsNullOrigin)
            writer.field("inactiveAfterSeconds", inactiveAfterSeconds)
            writer.field("scoring", scoring.rawValue)
            if let retentionDays { writer.field("retentionDays", retentionDays) }
            let checks = self.checks
            if checks != Project.Checks() {
                writer.key("checks")
                writer.object { for name in Project.Checks.Name.allCases { $0.field(name.rawValue, checks[name].rawValue) } }
            }
            if !identityKeys.isEmpty {
                writer.key("identityKeys")
                writer.array(identityKeys) { writer, key in
                    writer.object {
                        $0.field("id", key.id)
                        $0.field("algorithm", key.algorithm.rawValue)
                        $0.field(
                            ifPresent: "sealed",
                            key.sealed.map { $0.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() })
                        $0.field(ifPresent: "pem", key.pem)
                        $0.field("created", key.createdAt.microseconds)
                    }
                }
            }
            if !scrubbing.isEmpty {
                writer.key("scrubbing")
                writer.array(scrubbing) { $0.value($1) }
            }
            writer.members(of: quotas)
        }
        return writer.string
    }

    /// Throws for a text that is none, and for a scrubbing rule that can't be read.
    public init(stored text: String) throws {
        self.init()
        try JSONDocument.read(Array(text.utf8)) { json in
            json["origins"]?.forEachElement { if let origin = $0.string { origins.append(origin) } }
            allowsMissingOrigin = json["allowsMissingOrigin"]?.bool ?? allowsMissingOrigin
            allowsNullOrigin = json["allowsNullOrigin"]?.bool ?? allowsNullOrigin
            inactiveAfterSeconds = json["inactiveAfterSeconds"]?.double ?? inactiveAfterSeconds
            scoring = json["scoring"]?.string.flatMap { Project.Scoring(rawValue: $0) } ?? scoring
            retentionDays = json["retentionDays"]?.integer.map { Int($0) }
            // A rule that can't be read must not be left out in silence: nothing of the project would be scrubbed by it.
            try json["scrubbing"]?.forEachElement { scrubbing.append(try ScrubbingRule($0)) }
            json["checks"]?.forEachMember { name, mode in
                guard let name = Project.Checks.Name(rawValue: String(decoding: name, as: UTF8.self)),
                    let mode = mode.string.flatMap({ Project.CheckMode(rawValue: $0) })
                else { return }
                checks[name] = mode
            }
            json["identityKeys"]?.forEachElement { json in
                guard let id = json["id"]?.string, let created = json["created"]?.integer,
                    let algorithm = json["algorithm"]?.string.flatMap({ Project.IdentityKey.Algorithm(rawValue: $0) })
                else { return }
                identityKeys.append(
                    Project.IdentityKey(
                        id: id, algorithm: algorithm, sealed: json["sealed"]?.string.flatMap(Self.bytes(ofHex:)), pem: json["pem"]?.string,
                        createdAt: Timestamp(microseconds: created)))
            }
            try? quotas.read(json)
        }
    }

    private static func bytes(ofHex text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        var digits = text.utf8.makeIterator()
        while let high = digits.next() {
            guard let low = digits.next(), let a = Character(Unicode.Scalar(high)).hexDigitValue,
                let b = Character(Unicode.Scalar(low)).hexDigitValue
            else { return nil }
            bytes.append(UInt8(a << 4 | b))
        }
        return bytes
    }
}
