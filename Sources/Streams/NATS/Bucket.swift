import Events

/// A key-value bucket: a stream that keeps the last message of each subject (ADR-8), written only by those who have seen it.
struct Bucket: Sendable {
    var stream: JetStream
    var name: String

    struct Entry: Sendable {
        var value: [UInt8]
        var revision: UInt64
    }

    /// What is there; some replica's answer, which may be a moment old. Whoever writes on it is told so.
    func read(_ key: String) async throws(JetStream.Failure) -> Entry? {
        let answer = try await stream.request("$JS.API.DIRECT.GET.KV_\(name).$KV.\(name).\(key)")
        if answer.status == 404 { return nil }
        guard answer.status == nil, let revision = answer.sequence else { throw .unreadable("a value without a revision") }
        return Entry(value: answer.body, revision: revision)
    }

    /// Writes where the revision still is this one, 0 where nothing is there; false where somebody was faster.
    func write(_ key: String, _ value: [UInt8], after revision: UInt64) async throws(JetStream.Failure) -> Bool {
        let answer = try await stream.request(
            "$KV.\(name).\(key)", value, headers: [("Nats-Expected-Last-Subject-Sequence", String(revision))])
        do {
            return try JSONDocument.read(answer.body, isOurs: true) { json throws in
                guard let error = json["error"] else { return true }
                let code = error["err_code"]?.integer.map { Int($0) } ?? 0
                // Wrong last sequence, by the server's or by the cluster's own look at it.
                if code == 10071 || code == 10164 { return false }
                throw JetStream.Failure.refused(code: code, error["description"]?.string ?? "no reason given")
            }
        } catch let failure as JetStream.Failure {
            throw failure
        } catch {
            throw .unreadable("the answer to a write")
        }
    }
}
