import HTTPTypes
import Testing
@testable import Review

@Suite("The page")
struct PageTests {
    let client = ReviewClient()

    @Test("index.html is at /ui/, and the ways there lead to it")
    func index() async throws {
        let page = try await client.ask("/ui/")
        #expect(page.status == 200)
        #expect(page.headers[.contentType] == "text/html; charset=utf-8")
        #expect(page.body.hasPrefix("<!doctype html>"))
        for address in ["/", "/ui"] {
            let answer = try await client.ask(address)
            #expect(answer.status == 302)
            #expect(answer.headers[.location] == "/ui/")
        }
    }

    @Test("every file that the page asks for is there", arguments: Page.files.map(\.name))
    func files(name: String) async throws {
        let file = try await client.ask("/ui/" + name)
        #expect(file.status == 200)
        #expect(file.headers[.contentType] == (name.hasSuffix(".css") ? "text/css; charset=utf-8" : "text/javascript; charset=utf-8"))
    }

    @Test("index.html names no file that is missing from the table")
    func references() async throws {
        let names = try await client.ask("/ui/").body.matches(of: /(?:src|href)="([a-z-]+\.(?:js|css))"/).map { String($0.1) }
        #expect(!names.isEmpty)
        #expect(Set(names).isSubset(of: Page.files.map(\.name)))
        let imports = try await importedNames()
        #expect(imports.isSubset(of: Page.files.map(\.name)))
    }

    private func importedNames() async throws -> Set<String> {
        var names: Set<String> = []
        for file in Page.files where file.name.hasSuffix(".js") {
            names.formUnion(
                try await client.ask("/ui/" + file.name).body.matches(of: /(?:from |import\()"\.\/([a-z-]+\.js)"/).map { String($0.1) })
        }
        return names
    }

    @Test("nothing of elsewhere runs in the page, frames it or learns of it")
    func headers() async throws {
        let headers = try await client.ask("/ui/").headers
        #expect(
            headers[.contentSecurityPolicy]
                == "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
        )
        #expect(headers[.xContentTypeOptions] == "nosniff")
        #expect(headers[HTTPField.Name("Referrer-Policy")!] == "no-referrer")
        #expect(headers[HTTPField.Name("X-Frame-Options")!] == "DENY")
        #expect(headers[HTTPField.Name("Cross-Origin-Opener-Policy")!] == "same-origin")
        // A module obeys its document's policy; of its own it only says what it is and who may load it.
        let module = try await client.ask("/ui/app.js").headers
        #expect(module[.xContentTypeOptions] == "nosniff")
        #expect(module[HTTPField.Name("Cross-Origin-Resource-Policy")!] == "same-origin")
    }

    @Test("files go compressed to whom takes that")
    func compressed() async throws {
        let plain = try await client.ask("/ui/app.js")
        #expect(plain.headers[.contentEncoding] == nil && plain.headers[.vary] == "Accept-Encoding")
        for accepted in ["gzip", "deflate, gzip;q=0.5", "GZIP"] {
            #expect(try await client.ask("/ui/app.js", headers: [.acceptEncoding: accepted]).headers[.contentEncoding] == "gzip")
        }
        for accepted in ["", "br", "gzip;q=0", "gzip; q=0.0"] {
            #expect(try await client.ask("/ui/app.js", headers: [.acceptEncoding: accepted]).headers[.contentEncoding] == nil)
        }
    }

    @Test("a file that did not change is not sent again")
    func notModified() async throws {
        let tag = try #require(try await client.ask("/ui/app.js").headers[.eTag])
        for known in [tag, "W/" + tag, "\"other\", " + tag, "*"] {
            let answer = try await client.ask("/ui/app.js", headers: [.ifNoneMatch: known])
            #expect(answer.status == 304)
            #expect(answer.body.isEmpty)
            #expect(answer.headers[.eTag] == tag)
        }
        #expect(try await client.ask("/ui/app.js", headers: [.ifNoneMatch: "\"other\""]).status == 200)
        #expect(try await client.ask("/ui/app.css").headers[.eTag] != tag)
    }
}
