public import Events

extension OTLPDoor {
    /// Exporters try again on 429, 502, 503 and 504 only, and give up within about ten seconds: a longer wait loses the batch.
    private static let longestWait = 5

    public func reply(to verdicts: [Verdict], of parcel: Parcel, for request: DoorRequest) -> Reply {
        let form = Form(contentType: request.contentType) ?? .json
        for case .retry(let refusal) in verdicts { return reply(to: refusal, form) }
        // Not to be sent again: what is not stored now is in quarantine, or nothing will help it.
        let refusals = verdicts.compactMap(\.refusal)
        let message = refusals.isEmpty ? Self.warning(about: parcel) : Self.summary(of: refusals)
        return Reply(status: 200, contentType: form.contentType, body: form.answer(rejected: refusals.count, message: message))
    }

    public func reply(to refusal: Refusal, at entrance: Entrance, contentType: String?) -> Reply {
        reply(to: refusal, Form(contentType: contentType) ?? .json)
    }

    private func reply(to refusal: Refusal, _ form: Form) -> Reply {
        let text =
            "\(refusal.reason.rawValue): \(refusal.field.map { "\($0): " } ?? "")\(refusal.message) \(refusal.reason.explanation.remedy)"
        guard refusal.reason.isTemporary else {
            return Reply(status: refusal.reason.httpStatus, contentType: form.contentType, body: form.status(text))
        }
        let seconds = refusal.retryAfterMilliseconds.map { Int(($0 + 999) / 1000) } ?? 1
        return Reply(
            status: refusal.reason.httpStatus == 429 ? 429 : 503, contentType: form.contentType, body: form.status(text),
            retryAfterSeconds: min(max(seconds, 1), Self.longestWait))
    }

    /// Each reason once, with its count and its first message.
    private static func summary(of refusals: [Refusal]) -> String {
        var reasons: [(refusal: Refusal, count: Int)] = []
        for refusal in refusals {
            if let index = reasons.firstIndex(where: { $0.refusal.reason == refusal.reason }) {
                reasons[index].count += 1
            } else {
                reasons.append((refusal, 1))
            }
        }
        return reasons.map { refusal, count in
            let what = refusal.reason == .laneForbidden ? "Use a secret key: a public key may not write runs." : refusal.message
            return "\(count) x \(refusal.reason.rawValue): \(what)"
        }.joined(separator: " ")
    }

    /// What leaves runs without a conversation or without words, where it is so for all of them; else nothing.
    private static func warning(about parcel: Parcel) -> String {
        var models = 0
        var silent = 0
        var isPlaced = false
        for case .event(let event) in parcel.items {
            guard case .run(let part) = event.body else { continue }
            // A span in another one, also a browser's, may still find its conversation through that.
            if event.thread != nil || part.parent != nil || !part.linkedTraces.isEmpty { isPlaced = true }
            if part.kind == .llm {
                models += 1
                if part.input == nil, part.output == nil { silent += 1 }
            }
            // Neither is so for all.
            if isPlaced, models > silent { return "" }
        }
        var warnings: [String] = []
        if !parcel.items.isEmpty, !isPlaced {
            warnings.append(
                "The spans name no conversation: set gen_ai.conversation.id, or chat.message.id to the message that they answer.")
        }
        if models > 0, silent == models {
            warnings.append(
                "The spans carry no text: many instrumentations capture it only when "
                    + "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY is set.")
        }
        return warnings.joined(separator: " ")
    }
}
