import Events
import HTTPTypes
import Hummingbird
import NIOCore

/// The page that every refusal's `doc` points to: one section a reason, made from the list itself.
enum ReasonsPage {
    static let path = "/docs/reasons"

    static func response() -> Response {
        var response = Response(status: .ok, body: ResponseBody(byteBuffer: ByteBuffer(string: html)))
        response.headers[.contentType] = "text/html; charset=utf-8"
        response.headers[.cacheControl] = "public, max-age=3600"
        response.headers[.contentSecurityPolicy] = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        return response
    }

    static let html: String = {
        var page = """
            <!doctype html>
            <html lang="en">
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>Reasons - Parley</title>
            <h1>Reasons</h1>
            <p>Why something was refused: the same names on the wire, in metrics, in the outcome ledger and in quarantine.

            """
        for reason in Reason.allCases {
            let (meaning, remedy) = reason.explanation
            page += """
                <section id="\(reason.rawValue)">
                <h2><code>\(reason.rawValue)</code></h2>
                <p>\(marked(meaning))
                <p><b>What to do:</b> \(marked(remedy))
                <p>HTTP status \(reason.httpStatus); \(reason.isTemporary ? "temporary, try again" : "lasting, trying again will not help").
                </section>

                """
        }
        page += "<h1>Other ends of a socket</h1>\n"
        for code in CloseCode.allCases where Reason(rawValue: code.name) == nil {
            page +=
                "<section id=\"\(code.name)\">\n<h2><code>\(code.name)</code> (\(code.rawValue))</h2>\n<p>\(marked(code.explanation))\n</section>\n"
        }
        page += """
            <section id="unknown_frame">
            <h2><code>unknown_frame</code></h2>
            <p>A frame of a type this version does not know; it was passed over, and the socket goes on.
            </section>

            """
        return page
    }()

    /// Escaped for HTML, with what stands between backticks as code.
    private static func marked(_ text: String) -> String {
        let escaped = text.flatMap { character -> String in
            switch character {
            case "&": "&amp;"
            case "<": "&lt;"
            case ">": "&gt;"
            default: String(character)
            }
        }
        return String(escaped).split(separator: "`", omittingEmptySubsequences: false).enumerated()
            .map { $0.offset % 2 == 1 ? "<code>\($0.element)</code>" : String($0.element) }.joined()
    }
}
