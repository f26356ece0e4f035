import HTTPTypes
import Hummingbird

/// The review page: plain files that live in the binary, under `/ui/`.
struct Page: Sendable {
    /// Every file of `Resources` but `index.html`, which is the page itself; a new one is added here.
    static let files: [PageFile] = [
        PageFile("api.js", PackageResources.api_js),
        PageFile("app.css", PackageResources.app_css),
        PageFile("app.js", PackageResources.app_js),
        PageFile("content.js", PackageResources.content_js),
        PageFile("dom.js", PackageResources.dom_js),
        PageFile("keys.js", PackageResources.keys_js),
        PageFile("list.js", PackageResources.list_js),
        PageFile("operations.js", PackageResources.operations_js),
        PageFile("parts.js", PackageResources.parts_js),
        PageFile("route.js", PackageResources.route_js),
        PageFile("text.js", PackageResources.text_js),
        PageFile("thread.js", PackageResources.thread_js),
        PageFile("trace.js", PackageResources.trace_js),
    ]
    static let index = PageFile("index.html", PackageResources.index_html)

    func add(to routes: Routes<some RequestContext>) {
        routes.add("/", [.get: { _, _ in Self.moved }])
        routes.add(
            "/ui",
            [
                .get: { request, _ in
                    // The page names its files relative to its own address, so the slash has to be there.
                    request.uri.path.hasSuffix("/") ? Self.index.response(to: request) : Self.moved
                }
            ])
        for file in Self.files {
            routes.add(RouterPath("/ui/" + file.name), [.get: { request, _ in file.response(to: request) }])
        }
    }

    private static var moved: Response { Response(status: .found, headers: [.location: "/ui/", .cacheControl: "no-store"]) }
}
