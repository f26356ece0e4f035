import Crypto
import Events

/// What tells sources of a project apart: a hash, since an origin may be longer than an index takes.
enum SourceIdentity {
    static func of(_ source: Source) -> Blob {
        var hash = SHA256()
        for field in [source.key, source.lane.rawValue, source.origin ?? "", source.transport.rawValue] {
            // With its length in front, no two rows of fields are alike.
            var bytes: [UInt8] = []
            bytes.append(bigEndian: UInt64(field.utf8.count))
            bytes.append(contentsOf: field.utf8)
            hash.update(data: bytes)
        }
        return Blob(Array(hash.finalize()))
    }
}
