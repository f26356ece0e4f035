extension SocketLine {
    /// A server's message, flat: the fields of every type, and where an ack's results begin.
    struct Message {
        enum Kind: CaseIterable {
            case welcome, ack, credits, heartbeat, auth, error, goodbye

            var name: StaticString {
                switch self {
                case .welcome: "welcome"
                case .ack: "ack"
                case .credits: "credits"
                case .heartbeat: "heartbeat"
                case .auth: "auth"
                case .error: "error"
                case .goodbye: "goodbye"
                }
            }
        }

        var type: Kind?
        var batch: Int?
        var credits = 0
        var heartbeatMs = 0
        var batchEvents: Int?
        var batchBytes: Int?
        var code = 0
        var name = ""
        var text = ""
        var afterMs = 0
        /// The array's position in the message.
        var results: Int?

        init(_ bytes: UnsafeRawBufferPointer) throws {
            var cursor = JSONCursor(bytes)
            try cursor.object { key, value in
                if key.spells("type") {
                    let name = try value.string()
                    type = Kind.allCases.first { name.spells($0.name) }
                } else if key.spells("batch") {
                    batch = try value.integer()
                } else if key.spells("credits") {
                    credits = try value.integer()
                } else if key.spells("results") {
                    if try value.peek() == UInt8(ascii: "[") { results = value.position }
                } else if key.spells("limits") {
                    try value.object { key, value in
                        if key.spells("batchEvents") {
                            batchEvents = try value.integer()
                        } else if key.spells("batchBytes") {
                            batchBytes = try value.integer()
                        }
                    }
                } else if key.spells("heartbeatMs") {
                    heartbeatMs = try value.integer()
                } else if key.spells("code") {
                    code = try value.integer()
                } else if key.spells("name") {
                    name = try value.text() ?? ""
                } else if key.spells("message") {
                    text = try value.text() ?? ""
                } else if key.spells("afterMs") || key.spells("retryAfterMs") {
                    afterMs = try value.integer()
                }
            }
        }
    }
}
