/// Why a whole request or a whole session was turned away: the gateway's own words, from an error body or an error frame.
struct Problem {
    var code: String
    var message = ""
    var retryAfterMs: Int?

    /// Reads `{"error":{"code","message",…}}`; a body that is something else leaves the status for a code.
    init(status: Int, body: UnsafeRawBufferPointer) {
        code = "status_\(status)"
        guard !body.isEmpty else { return }
        var cursor = JSONCursor(body)
        try? cursor.object { key, value in
            guard key.spells("error") else { return }
            try value.object { key, value in
                if key.spells("code") {
                    code = try value.text() ?? code
                } else if key.spells("message") {
                    message = try value.text() ?? ""
                } else if key.spells("retryAfterMs") {
                    retryAfterMs = try value.integer()
                }
            }
        }
    }
}
