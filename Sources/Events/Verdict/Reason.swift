/// Why something was refused: one closed list for the wire, metrics, the outcome ledger and quarantine.
public enum Reason: String, Sendable, CaseIterable, Hashable {
    // Who is asking
    case missingKey = "missing_key"
    case malformedKey = "malformed_key"
    case unknownKey = "unknown_key"
    case revokedKey = "revoked_key"
    case expiredKey = "expired_key"
    case originForbidden = "origin_forbidden"
    case originMissing = "origin_missing"
    case originNull = "origin_null"
    case secretKeyInBrowser = "secret_key_in_browser"
    case projectRequired = "project_required"
    case projectUnknown = "project_unknown"
    case invalidToken = "invalid_token"
    case expiredToken = "expired_token"
    case identityRequired = "identity_required"
    case identityMismatch = "identity_mismatch"
    case invalidReceipt = "invalid_receipt"
    case unauthorized = "unauthorized"
    case roleForbidden = "role_forbidden"
    // What the event says
    case laneForbidden = "lane_forbidden"
    case weakID = "weak_id"
    case missingField = "missing_field"
    case invalidField = "invalid_field"
    case reservedField = "reserved_field"
    case idConflict = "id_conflict"
    case conversationActive = "conversation_active"
    case erased = "erased"
    // What could not be read or kept
    case malformedJSON = "malformed_json"
    case invalidUTF8 = "invalid_utf8"
    case tooDeep = "too_deep"
    case tooManyKeys = "too_many_keys"
    case eventTooLarge = "event_too_large"
    case batchTooLarge = "batch_too_large"
    case bodyTooLarge = "body_too_large"
    case bodyIncomplete = "body_incomplete"
    case bodyTimeout = "body_timeout"
    case unsupportedEncoding = "unsupported_encoding"
    case quarantineFull = "quarantine_full"
    // What may be sent again
    case rateLimited = "rate_limited"
    case overloaded = "overloaded"
    case storeUnavailable = "store_unavailable"
    case diskFull = "disk_full"
    case draining = "draining"
    case overCredits = "over_credits"
    // Plain HTTP
    case badRequest = "bad_request"
    case notFound = "not_found"
    case nameTaken = "name_taken"
    case lastAdmin = "last_admin"
    case methodNotAllowed = "method_not_allowed"
    case `internal` = "internal"

    /// Whether the same thing may succeed later without being changed.
    public var isTemporary: Bool {
        switch self {
        case .rateLimited, .overloaded, .storeUnavailable, .diskFull, .draining, .overCredits, .internal, .bodyTimeout, .bodyIncomplete,
            .expiredToken:
            true
        default: false
        }
    }

    /// The status of an HTTP answer that is nothing but this refusal (RFC 9110, section 15).
    public var httpStatus: Int {
        switch self {
        case .missingKey, .malformedKey, .unknownKey, .revokedKey, .expiredKey, .unauthorized, .invalidToken, .expiredToken: 401
        case .identityRequired, .identityMismatch, .originForbidden, .originMissing, .originNull, .secretKeyInBrowser, .laneForbidden,
            .roleForbidden:
            403
        case .projectUnknown, .notFound: 404
        case .methodNotAllowed: 405
        case .conversationActive, .nameTaken, .lastAdmin: 409
        case .bodyTimeout: 408
        case .bodyTooLarge, .batchTooLarge, .eventTooLarge: 413
        case .unsupportedEncoding: 415
        case .rateLimited, .overCredits: 429
        case .overloaded, .storeUnavailable, .diskFull, .draining: 503
        case .internal: 500
        default: 400
        }
    }

    /// Where the meaning and the remedy are told.
    public var documentation: String { "/docs/reasons#\(rawValue)" }

    /// What happened and what to do, for the documentation page: meaning, then remedy.
    public var explanation: (meaning: String, remedy: String) {
        switch self {
        case .missingKey: ("No key came with the request.", "Send `Authorization: Bearer KEY`, or `?key=KEY` from a page.")
        case .malformedKey: ("The key's checksum is wrong: a character was lost or changed.", "Copy the key again.")
        case .unknownKey:
            (
                "The key is well formed, but there is no such key here.",
                "Check that the key belongs to this installation (`parley key list`)."
            )
        case .revokedKey: ("The key was revoked.", "Make a new one with `parley key create` and replace it where it is used.")
        case .expiredKey: ("The key's last day has passed.", "Make a new one with `parley key create`.")
        case .originForbidden:
            ("The page's origin is not on the project's list.", "Allow it: `parley project set NAME --origin https://shop.example`.")
        case .originMissing:
            (
                "A public key was used without an Origin header.",
                "Send it from a page, or allow it: `parley project set NAME --allow-missing-origin true`."
            )
        case .originNull:
            (
                "The page has an opaque origin (a sandboxed frame or a file).",
                "Serve the page over http(s), or allow it: `parley project set NAME --allow-null-origin true`."
            )
        case .secretKeyInBrowser:
            ("A secret key was sent by a browser, where everyone can read it.", "Revoke it now and use the public key in pages.")
        case .projectRequired: ("A workspace key does not say which project it means.", "Add `?project=NAME`.")
        case .projectUnknown: ("There is no project of that name for this key.", "See `parley project list`.")
        case .invalidToken:
            (
                "The proof of the user does not hold: its signature, algorithm, audience or times.",
                "Sign it in your backend with the project's identity key; the message says what is wrong (`parley identity check`)."
            )
        case .expiredToken: ("The proof of the user has run out.", "Fetch a new token, and send the events again with it.")
        case .identityRequired:
            (
                "The project takes events of a named user only with a proof of who it is.",
                "Send a token signed in your backend, or leave `user` out."
            )
        case .identityMismatch:
            (
                "The event names another user, or another conversation, than the proof it came with.",
                "Send each user's events with that user's own token."
            )
        case .invalidReceipt:
            (
                "The receipt is not one that this installation gave for the run's parent.",
                "Hand on the receipt of the message that `parent` names, or leave `receipt` out."
            )
        case .unauthorized:
            ("Reading needs a secret key or a signed-in reviewer.", "Send a secret key, or open a link made with `parley review link`.")
        case .roleForbidden:
            ("Your role does not allow this: readers read, reviewers judge, admins set up.", "Ask an admin of this installation.")
        case .erased:
            (
                "The thing, or the conversation it belongs to, was erased; what is sent again is not kept.",
                "Nothing: begin a new conversation."
            )
        case .laneForbidden: ("A public key may not write this.", "Send it from a backend with the secret key.")
        case .weakID: ("The ID is one that others could guess or make by accident.", "Use a UUID; the snippet makes one.")
        case .missingField: ("A field that this type of event needs is not there.", "Add the named field.")
        case .invalidField: ("A field breaks its rule.", "Change the named field as the message says.")
        case .reservedField: ("The field is set by the server only.", "Leave it out.")
        case .idConflict:
            (
                "The ID is taken by other content. The first stays; this one is kept beside it in quarantine.",
                "Give a changed message an ID of its own."
            )
        case .conversationActive:
            (
                "The project's policy lets nobody score a conversation that is still active.",
                "Close the conversation or wait until it is inactive; `parley project set NAME --scoring open` lifts the rule."
            )
        case .malformedJSON: ("The bytes are not JSON (RFC 8259).", "Serialize the body with a JSON library.")
        case .invalidUTF8: ("The body is not UTF-8.", "Encode it as UTF-8.")
        case .tooDeep: ("The JSON is nested deeper than 64 levels.", "Flatten it, or send the inner part as a string.")
        case .tooManyKeys: ("The event has more than 10,000 object keys.", "Send the data as a string or in several events.")
        case .eventTooLarge: ("The event is larger than its lane allows.", "Shorten it, or send it with a secret key.")
        case .batchTooLarge: ("The batch has more events than its lane allows.", "Send smaller batches.")
        case .bodyTooLarge: ("The body is larger than its lane allows, counted after decompression.", "Send smaller bodies.")
        case .bodyIncomplete: ("The connection ended before the body did.", "Send it again; what was stored is a duplicate then.")
        case .bodyTimeout: ("The body did not arrive in time.", "Send it again over a faster line, or in smaller pieces.")
        case .unsupportedEncoding:
            ("The Content-Encoding is not one of gzip, deflate, identity, or the bytes do not match it.", "Use gzip or none.")
        case .quarantineFull:
            (
                "The project's quarantine is full, so this could not be kept.",
                "Replay or clear it (`parley quarantine list`), and mend the cause."
            )
        case .rateLimited:
            (
                "The key, address, socket, conversation or project has used up its quota.",
                "Wait for the time in Retry-After, or raise the quota (`parley project set`)."
            )
        case .overloaded: ("More is on its way or waiting to be written than memory may hold.", "Send it again after Retry-After.")
        case .storeUnavailable: ("The store did not take the events.", "Send them again; see `parley doctor` and the log.")
        case .diskFull: ("The disk is full.", "Free some space; senders try again by themselves.")
        case .draining: ("The gateway is shutting down.", "Reconnect; another one answers.")
        case .overCredits: ("More events were sent than the socket had credits for.", "Wait for credits, then send them again.")
        case .badRequest: ("The request makes no sense as it is.", "See the message.")
        case .notFound: ("Nothing is here.", "Check the address and the ID.")
        case .nameTaken: ("Something else has that name.", "Choose another.")
        case .lastAdmin: ("Without it nobody could set anything up.", "Make somebody else an admin first.")
        case .methodNotAllowed: ("This address does not take that method.", "See the OpenAPI document.")
        case .internal: ("Something failed on our side.", "Send it again; the log says more.")
        }
    }
}
