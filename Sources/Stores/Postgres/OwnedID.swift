import Events

/// An ID of a project's own, told apart as the database does: by its bytes, where Swift's texts are alike when Unicode holds them for the
/// same.
struct OwnedID: Hashable {
    var project: ProjectID
    var id: String

    static func == (a: OwnedID, b: OwnedID) -> Bool { a.project == b.project && a.id.utf8.elementsEqual(b.id.utf8) }

    func hash(into hasher: inout Hasher) {
        hasher.combine(project)
        var id = id
        id.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}
