/// The browser client, as files a gateway can serve: the bytes of `dist/`, embedded when the package is built.
public enum WebSnippet {
    /// One file of the client under the path a page asks for it by.
    public struct File: Sendable {
        public let path: String
        public let contentType: String
        public let bytes: [UInt8]
        /// Whether the path names these very bytes for ever.
        public var isImmutable = false
    }

    /// `0.2.0`; the same as in `snippet.js`.
    public static let version = "0.2.0"

    /// Everything below under its lasting address, and again under one that carries the version, which a page may pin with the
    /// digests of `/parley-sri.json` (W3C Subresource Integrity).
    public static var files: [File] {
        latest + scripts.map { File(path: versioned($0.path), contentType: $0.contentType, bytes: $0.bytes, isImmutable: true) }
    }

    /// `/parley.js` becomes `/parley-0.2.0.js`.
    static func versioned(_ path: String) -> String {
        let dot = path.lastIndex(of: ".") ?? path.endIndex
        return path[..<dot] + "-\(version)" + path[dot...]
    }

    private static var latest: [File] {
        scripts + [
            File(path: "/parley.js.map", contentType: json, bytes: PackageResources.parley_js_map),
            File(path: "/parley.mjs.map", contentType: json, bytes: PackageResources.parley_mjs_map),
            File(path: "/parley-carry.js.map", contentType: json, bytes: PackageResources.parley_carry_js_map),
            File(path: "/parley-carry.mjs.map", contentType: json, bytes: PackageResources.parley_carry_mjs_map),
            File(path: "/parley-react.mjs.map", contentType: json, bytes: PackageResources.parley_react_mjs_map),
            File(path: "/parley-node.mjs.map", contentType: json, bytes: PackageResources.parley_node_mjs_map),
            File(path: "/parley-sri.json", contentType: json, bytes: PackageResources.sri_json),
        ]
    }

    /// The script-tag build, the ES module and the loader; and the add-on that carries messages to the page's backend.
    private static let scripts: [File] = [
        File(path: "/parley.js", contentType: javaScript, bytes: PackageResources.parley_js),
        File(path: "/parley.mjs", contentType: javaScript, bytes: PackageResources.parley_mjs),
        File(path: "/parley-loader.js", contentType: javaScript, bytes: PackageResources.parley_loader_js),
        File(path: "/parley-carry.js", contentType: javaScript, bytes: PackageResources.parley_carry_js),
        File(path: "/parley-carry.mjs", contentType: javaScript, bytes: PackageResources.parley_carry_mjs),
        File(path: "/parley-react.mjs", contentType: javaScript, bytes: PackageResources.parley_react_mjs),
        File(path: "/parley-node.mjs", contentType: javaScript, bytes: PackageResources.parley_node_mjs),
    ]

    private static let json = "application/json"
    /// RFC 9239: `text/javascript` for scripts and modules alike; a module is refused under any type but a JavaScript one.
    private static let javaScript = "text/javascript; charset=utf-8"
}
