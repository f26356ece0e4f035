/// One line of a gateway's answer: the verdict on one event. It points into the answer's bytes and must not outlive them.
struct Answer {
    var id: UnsafeRawBufferPointer?
    var index: Int?
    var verdict: Verdict?
    var reason: UnsafeRawBufferPointer?
    var message: String?
    var retryAfterMs: Int?

    init(_ cursor: inout JSONCursor) throws {
        try cursor.object { key, value in
            if key.spells("id") {
                if try value.peek() == UInt8(ascii: "\"") { id = try value.string() }
            } else if key.spells("verdict") {
                verdict = Verdict(named: try value.string())
            } else if key.spells("index") {
                index = try value.integer()
            } else if key.spells("reason") {
                if try value.peek() == UInt8(ascii: "\"") { reason = try value.string() }
            } else if key.spells("message") {
                message = try value.text()
            } else if key.spells("retryAfterMs") {
                retryAfterMs = try value.integer()
            }
        }
    }
}
