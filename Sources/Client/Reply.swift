import Foundation

/// What came back for a body: an answer of the gateway, of something on the way to it, or nothing.
struct Reply: Sendable {
    /// 0 where the connection was lost.
    var status = 0
    /// The header, as it came.
    var retryAfter: String?
    var body = Data()

    static let lost = Reply()

    /// What to do about it.
    enum Meaning: Sendable {
        /// 200, one result an event, in order.
        case results([Result])
        /// 401, 403, 404: the key, the origin or the address is wrong. Nothing that is sent again will fare better.
        case stop(reason: String, message: String)
        /// Another 4xx: something in this body is wrong.
        case refused(reason: String, message: String)
        /// No answer, 408, 429, 5xx, or words that are not the gateway's (a captive portal): the same again later (P-ERR-2), not before
        /// `wish` milliseconds.
        case later(wish: Int64?)
    }

    struct Result: Sendable {
        var verdict: Parley.Verdict.Outcome
        var reason: String?
        var message: String?
        var retryAfterMs: Int64?
        var receipt: String?
    }

    /// `wall` is the time in milliseconds since 1970, which a date in `Retry-After` is compared with.
    func meaning(wall: Int64) -> Meaning {
        let answer = try? JSONDecoder().decode(Answer.self, from: body)
        // Not the events are at fault, nor the key: they go again with a new token, as after close 4202.
        if answer?.error?.code == Self.tokenExpired { return .later(wish: nil) }
        switch status {
        case 200..<300:
            guard let results = answer?.results else { return .later(wish: nil) }
            return .results(results.map(\.result))
        case 401, 403, 404:
            return .stop(reason: answer?.error?.code ?? "http_\(status)", message: answer?.error?.message ?? "")
        case 408, 429: return .later(wish: answer?.error?.retryAfterMs?.milliseconds ?? wish(wall: wall))
        case 400..<500:
            return .refused(reason: answer?.error?.code ?? "http_\(status)", message: answer?.error?.message ?? "")
        default: return .later(wish: answer?.error?.retryAfterMs?.milliseconds ?? wish(wall: wall))
        }
    }

    /// The token that proves the user ran out: the next try needs a new one.
    var wantsToken: Bool { (try? JSONDecoder().decode(Answer.self, from: body))?.error?.code == Self.tokenExpired }

    private static let tokenExpired = "token_expired"

    /// RFC 9110, 10.2.3: seconds, or a date.
    private func wish(wall: Int64) -> Int64? {
        guard let retryAfter else { return nil }
        if let seconds = Double(retryAfter), seconds >= 0 { return (seconds * 1000).milliseconds }
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(secondsFromGMT: 0)
        format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss zzz"
        return format.date(from: retryAfter).map { max(0, ($0.timeIntervalSince1970 * 1000).milliseconds - wall) }
    }

    /// What it says of a receipt; nil where it says nothing of the kind.
    var receipt: Parley.Receipt? {
        guard status == 200, let answer = try? JSONDecoder().decode(Examined.self, from: body) else { return nil }
        return Parley.Receipt(isValid: answer.valid, at: answer.valid ? answer.at : nil)
    }

    // MARK: On the wire

    private struct Examined: Decodable {
        let valid: Bool
        let at: String?
    }

    private struct Answer: Decodable {
        let results: [Line]?
        let error: Fault?
    }

    private struct Fault: Decodable {
        let code: String?
        let message: String?
        let retryAfterMs: Double?
    }

    private struct Line: Decodable {
        let verdict: String
        let reason: String?
        let message: String?
        let retryAfterMs: Double?
        let receipt: String?

        /// A verdict this version does not know is taken for a final one, or the event would be sent for ever.
        var result: Result {
            let outcome = Parley.Verdict.Outcome(rawValue: verdict)
            return Result(
                verdict: outcome ?? .dropped, reason: outcome == nil ? verdict : reason, message: message,
                retryAfterMs: retryAfterMs?.milliseconds, receipt: receipt)
        }
    }
}

extension Double {
    /// Whole milliseconds from 1970 to the end of 9999 (P-TIME-1), whatever the number is.
    var milliseconds: Int64 { isNaN ? 0 : Int64(Swift.min(Swift.max(self, 0), 253_402_300_799_999)) }
}
