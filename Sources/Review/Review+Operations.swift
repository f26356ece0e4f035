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

    /// `POST /v1/receipts`: whether a receipt is one that was given for that ID here, and when.
    @Sendable func checkReceipt(_ request: Request, _ parameters: Parameters) async throws -> Response {
        let project = try await project(of: request, Query(request))
        let asked = try await request.readJSON(upTo: 4096, ReceiptQuestion.init)
        let at = office.time(of: asked.receipt, for: asked.id, in: project)
        return .json {
            $0.field("valid", at != nil)
            $0.field(orNull: "at", at)
        }
    }
}

/// `{"id","receipt"}`.
private struct ReceiptQuestion {
    var id: String
    var receipt: String

    init(_ json: JSONValue) throws(Refusal) {
        guard let id = json["id"]?.string else { throw Refusal(.badRequest, field: "id", "The field `id` must be a text.") }
        guard let receipt = json["receipt"]?.string else {
            throw Refusal(.badRequest, field: "receipt", "The field `receipt` must be a text.")
        }
        (self.id, self.receipt) = (id, receipt)
    }
}
