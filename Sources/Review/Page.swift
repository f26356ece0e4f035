import HTTPTypes
import Hummingbird

/// The review page: plain files that live in the binary, under `/ui/`.
struct Page: Sendable {
    /// Every file of `Resources` but `index.html`, which is the page itself; a new one is added here.
    static let files: [PageFile] = [
        PageFile("access.js", PackageResources.access_js),
        PageFile("api.js", PackageResources.api_js),
        PageFile("app.css", PackageResources.app_css),
        PageFile("app.js", PackageResources.app_js),
        PageFile("boards.js", PackageResources.boards_js),
        PageFile("charts.js", PackageResources.charts_js),
        PageFile("code.js", PackageResources.code_js),
        PageFile("connect.js", PackageResources.connect_js),
        PageFile("content.js", PackageResources.content_js),
        PageFile("conversation.css", PackageResources.conversation_css),
        PageFile("details.js", PackageResources.details_js),
        PageFile("diff.js", PackageResources.diff_js),
        PageFile("dom.js", PackageResources.dom_js),
        PageFile("en-conversation.js", PackageResources.en_conversation_js),
        PageFile("en-judging.js", PackageResources.en_judging_js),
        PageFile("en-pages.js", PackageResources.en_pages_js),
        PageFile("en-play.js", PackageResources.en_play_js),
        PageFile("en-runs.js", PackageResources.en_runs_js),
        PageFile("en-setup.js", PackageResources.en_setup_js),
        PageFile("en-signin.js", PackageResources.en_signin_js),
        PageFile("en.js", PackageResources.en_js),
        PageFile("filters.js", PackageResources.filters_js),
        PageFile("judge.js", PackageResources.judge_js),
        PageFile("keys.js", PackageResources.keys_js),
        PageFile("list.js", PackageResources.list_js),
        PageFile("live.js", PackageResources.live_js),
        PageFile("markdown.js", PackageResources.markdown_js),
        PageFile("message.js", PackageResources.message_js),
        PageFile("outcomes.js", PackageResources.outcomes_js),
        PageFile("overview.js", PackageResources.overview_js),
        PageFile("pages.css", PackageResources.pages_css),
        PageFile("panels.css", PackageResources.panels_css),
        PageFile("parts.js", PackageResources.parts_js),
        PageFile("play.js", PackageResources.play_js),
        PageFile("quarantine.js", PackageResources.quarantine_js),
        PageFile("route.js", PackageResources.route_js),
        PageFile("rules.js", PackageResources.rules_js),
        PageFile("runs.js", PackageResources.runs_js),
        PageFile("setup.js", PackageResources.setup_js),
        PageFile("signin.js", PackageResources.signin_js),
        PageFile("text.js", PackageResources.text_js),
        PageFile("thread.js", PackageResources.thread_js),
        PageFile("tip.js", PackageResources.tip_js),
        PageFile("trace.js", PackageResources.trace_js),
        PageFile("users.js", PackageResources.users_js),
        PageFile("views.js", PackageResources.views_js),
        PageFile("words.js", PackageResources.words_js),
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
