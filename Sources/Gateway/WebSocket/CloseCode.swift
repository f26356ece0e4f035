import Events

/// Why a socket ends, as its close frame says it. The band says what to do next: 4000-4099 do not come back, 4100-4199
/// back off, 4200-4299 reconnect at once. The RFC's own codes are for faults in the framing (RFC 6455, section 7.4.1).
package enum CloseCode: UInt16, Sendable, CaseIterable {
    case normal = 1000
    case protocolViolation = 1002
    case binary = 1003
    case notUTF8 = 1007
    case unknownKey = 4001
    case revokedKey = 4002
    case originForbidden = 4003
    case unsupportedVersion = 4004
    case malformedFrame = 4005
    case frameTooLarge = 4006
    case secretKeyInBrowser = 4007
    case overloaded = 4100
    case rateLimited = 4101
    case storeUnavailable = 4102
    case slowConsumer = 4103
    case helloTimeout = 4104
    case draining = 4200
    case heartbeatLost = 4201
    case tokenExpired = 4202

    /// The code that ends a socket whose key or origin is refused.
    init(endingFor reason: Reason) {
        self =
            switch reason {
            case .revokedKey, .expiredKey: .revokedKey
            case .originForbidden, .originMissing, .originNull: .originForbidden
            case .secretKeyInBrowser: .secretKeyInBrowser
            case .rateLimited, .overCredits: .rateLimited
            case .overloaded: .overloaded
            case .storeUnavailable, .diskFull: .storeUnavailable
            case .draining: .draining
            case .expiredToken: .tokenExpired
            case .bodyTooLarge, .batchTooLarge: .frameTooLarge
            case .invalidUTF8: .notUTF8
            // Whatever else is wrong with a key: nothing opens with it.
            case .missingKey, .malformedKey, .unknownKey, .projectRequired, .projectUnknown, .laneForbidden, .unauthorized: .unknownKey
            default: .malformedFrame
            }
    }

    /// The name in `error` frames, where it is not the refusal's own reason.
    var name: String {
        switch self {
        case .normal: "normal"
        case .protocolViolation: "protocol_error"
        case .binary: "binary_frame"
        case .notUTF8: "invalid_utf8"
        case .unknownKey: "unknown_key"
        case .revokedKey: "revoked_key"
        case .originForbidden: "origin_forbidden"
        case .unsupportedVersion: "unsupported_version"
        case .malformedFrame: "malformed_frame"
        case .frameTooLarge: "frame_too_large"
        case .secretKeyInBrowser: "secret_key_in_browser"
        case .overloaded: "overloaded"
        case .rateLimited: "rate_limited"
        case .storeUnavailable: "store_unavailable"
        case .slowConsumer: "slow_consumer"
        case .helloTimeout: "hello_timeout"
        case .draining: "draining"
        case .heartbeatLost: "heartbeat_lost"
        case .tokenExpired: "token_expired"
        }
    }

    /// What happened and what to do, for the codes that are no refusal's own.
    var explanation: String {
        switch self {
        case .normal: "The session ended as agreed."
        case .protocolViolation: "A frame broke RFC 6455. Use a WebSocket library; back off, then come back."
        case .binary: "Frames are JSON text. Send text frames; back off, then come back."
        case .unsupportedVersion: "None of the offered subprotocols is spoken here. Offer `parley.v1`; do not come back before."
        case .malformedFrame: "A frame was no JSON object of the protocol, or came out of turn. Mend the client; do not come back before."
        case .frameTooLarge: "A frame or batch was larger than the welcome allows. Cut batches to its limits."
        case .slowConsumer: "More was waiting to be read by the client than memory may hold. Back off, then come back."
        case .helloTimeout: "No hello came in time. Back off, then come back and say hello."
        case .heartbeatLost: "Nothing was heard for two and a half heartbeats. Reconnect at once."
        case .tokenExpired: "The user's token has run out. Fetch a new one, then reconnect at once."
        default: "See the reason of that name."
        }
    }
}
