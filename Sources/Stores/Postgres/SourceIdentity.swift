import Crypto
import Events

/// What tells sources of a project apart: a hash, since an origin may be longer than an index takes.
package enum SourceIdentity {
    static func of(_ source: Source) -> Blob {
        Blob(of(key: source.key, lane: source.lane.rawValue, origin: source.origin ?? "", transport: source.transport.rawValue))
    }

    package static func of(key: String, lane: String, origin: String, transport: String) -> [UInt8] {
        var hash = SHA256()
        for field in [key, lane, origin, transport] {
            // With its length in front, no two rows of fields are alike.
            var bytes: [UInt8] = []
            bytes.append(bigEndian: UInt64(field.utf8.count))
            bytes.append(contentsOf: field.utf8)
            hash.update(data: bytes)
        }
        return Array(hash.finalize())
    }
}
