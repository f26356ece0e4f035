/// The browser client, as files a gateway can serve: the bytes of `dist/`, embedded when the package is built.
public enum WebSnippet {
    /// One file of the client under the path a page asks for it by.
    public struct File: Sendable {
        public let path: String
        public let contentType: String
        public let bytes: [UInt8]
    }

    /// The script-tag build, the ES module and the loader; and the add-on that carries messages to the page's backend.
    public static let files: [File] = [
        File(path: "/parley.js", contentType: javaScript, bytes: PackageResources.parley_js),
        File(path: "/parley.mjs", contentType: javaScript, bytes: PackageResources.parley_mjs),
        File(path: "/parley-loader.js", contentType: javaScript, bytes: PackageResources.parley_loader_js),
        File(path: "/parley-carry.js", contentType: javaScript, bytes: PackageResources.parley_carry_js),
        File(path: "/parley-carry.mjs", contentType: javaScript, bytes: PackageResources.parley_carry_mjs),
    ]

    /// RFC 9239: `text/javascript` for scripts and modules alike; a module is refused under any type but a JavaScript one.
    private static let javaScript = "text/javascript; charset=utf-8"
}
