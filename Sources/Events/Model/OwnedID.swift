#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// An ID of a project's own, told apart as stores do: by its bytes, where Swift's texts are alike when Unicode holds them for the same.
package struct OwnedID: Hashable, Sendable {
    package var project: ProjectID
    package var id: String

    package init(project: ProjectID, id: String) { (self.project, self.id) = (project, id) }

    package static func == (a: OwnedID, b: OwnedID) -> Bool { a.project == b.project && a.id.hasSameBytes(as: b.id) }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(project)
        var id = id
        id.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

extension String {
    /// Whether two texts are one byte by byte. Texts that were made here lie in one piece; others are compared one byte after the other.
    package func hasSameBytes(as other: String) -> Bool {
        let compared = utf8.withContiguousStorageIfAvailable { a in
            other.utf8.withContiguousStorageIfAvailable { b in
                a.count == b.count && (a.isEmpty || memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0)
            }
        }
        return (compared ?? nil) ?? utf8.elementsEqual(other.utf8)
    }
}
