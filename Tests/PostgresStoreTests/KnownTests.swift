import Events
import Testing
@testable import PostgresStore

@Suite("What a transaction knows of IDs")
struct KnownTests {
    private func key(_ id: String) -> OwnedID { OwnedID(project: ProjectID(1), id: id) }

    @Test("what was asked about and not found is nothing; what nobody asked about is not known")
    func asking() {
        var known = Known<Set<String>>(nothing: [])
        #expect(known[key("a")] == nil)
        known.note(asked: [key("a")])
        known.note(asked: [key("b"), key("c")])
        #expect(known[key("a")] == [] && known[key("c")] == [] && known[key("d")] == nil)
        known[key("d")] = ["x"]
        known.note(asked: [key("d")])
        #expect(known[key("d")] == ["x"])
        known.forget()
        #expect(known[key("a")] == nil && known[key("d")] == nil)
    }

    @Test("what is changed in place begins with nothing, and only where it is known")
    func changing() {
        var known = Known<Set<String>>(nothing: [])
        known.note(asked: [key("a")])
        known[key("a")]!.insert("x")
        known[key("a")]?.insert("y")
        known[key("b")]?.insert("x")
        #expect(known[key("a")] == ["x", "y"] && known[key("b")] == nil)
        known[key("a")]?.remove("x")
        #expect(known[key("a")] == ["y"])
    }

    @Test("a value that may be nil is told apart from one that nobody asked for")
    func optionals() {
        var known = Known<Int?>(nothing: nil)
        known.note(asked: [key("a")])
        known[key("b")] = 7
        known[key("c")] = .some(nil)
        #expect(known[key("a")] == .some(nil) && known[key("b")] == 7 && known[key("c")] == .some(nil) && known[key("d")] == nil)
    }
}
