import Conversations
import Events
import Hummingbird

extension Review {
    /// `GET /v1/outcomes`: the ledger, by key and minute, and its sum.
    @Sendable func outcomes(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let query = Query(request)
        let project = try await project(of: request, query)
        let (from, to) = (try query.time("from"), try query.time("to"))
        let rows = try await store.outcomes(in: project.number, from: from, to: to)
        return .json { $0.members(ofOutcomes: rows) }
    }
}
