import CMarkGFM
import Events

/// Markdown as a tree of nodes, read by the reference parser of GitHub's dialect (GFM, libcmark-gfm).
///
/// A node is a text, or `[tag, child…]`, or `[tag, {attribute}, child…]` with tags out of a closed list, so that the page makes
/// elements of it and never markup. Raw HTML is text; pictures are links, as nothing is loaded from elsewhere; a link that leads
/// neither to the web nor to a mailbox is its words with the address behind them.
enum Markdown {
    /// What could not be rendered at once, as it would keep a browser busy or nest deeper than one lays out.
    enum Excess: String { case long, deep }

    enum Rendering: Equatable {
        case nodes(JSONText)
        case excess(Excess)
    }

    /// Texts above this many bytes are shown plain until somebody asks for more.
    static let usualBytes = 20_000
    /// The most that is ever rendered: about a second of a browser's time.
    static let maximumBytes = 1 << 20
    /// Firefox lays out some hundred levels; nobody reads ten.
    static let maximumDepth = 100

    /// - Parameter whole: renders also what is long, and leaves out the wrappers of what is deep.
    static func render(_ text: String, whole: Bool = false) -> Rendering {
        guard text.utf8.count <= (whole ? maximumBytes : usualBytes) else { return .excess(.long) }
        guard let document = parse(text) else { return .excess(.long) }
        defer { cmark_node_free(document) }
        if !whole, isDeep(document) { return .excess(.deep) }
        var walk = MarkdownWalk()
        walk.run(document)
        return .nodes(JSONText(trusted: walk.writer.bytes))
    }

    private static let extensions = ["table", "strikethrough", "autolink", "tasklist"]
    /// Registers the extensions with the library, once.
    private static let isReady: Bool = {
        cmark_gfm_core_extensions_ensure_registered()
        return true
    }()

    private static func parse(_ text: String) -> OpaquePointer? {
        guard isReady, let parser = cmark_parser_new(CMARK_OPT_VALIDATE_UTF8) else { return nil }
        defer { cmark_parser_free(parser) }
        for name in extensions {
            if let syntax = cmark_find_syntax_extension(name) { cmark_parser_attach_syntax_extension(parser, syntax) }
        }
        var text = text
        text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { cmark_parser_feed(parser, $0.baseAddress, $0.count) }
        }
        return cmark_parser_finish(parser)
    }

    private static func isDeep(_ document: OpaquePointer) -> Bool {
        guard let iterator = cmark_iter_new(document) else { return true }
        defer { cmark_iter_free(iterator) }
        var depth = 0
        while true {
            switch cmark_iter_next(iterator) {
            case CMARK_EVENT_ENTER:
                // Leaves have no exit (cmark-gfm.h, "Iterator").
                if isContainer(cmark_iter_get_node(iterator)) { depth += 1 }
                if depth > maximumDepth { return true }
            case CMARK_EVENT_EXIT: depth -= 1
            default: return false
            }
        }
    }

    fileprivate static func isContainer(_ node: OpaquePointer?) -> Bool {
        switch name(of: node) {
        case "html_block", "thematic_break", "code_block", "text", "softbreak", "linebreak", "code", "html_inline": false
        default: true
        }
    }

    fileprivate static func name(of node: OpaquePointer?) -> String {
        cmark_node_get_type_string(node).map { String(cString: $0) } ?? ""
    }
}

/// Writes the nodes of one document in the order of the parser's iterator, without recursion.
private struct MarkdownWalk {
    var writer = JSONWriter()
    /// How many arrays each open container stands for; closed with it.
    private var open: [Int] = []
    private var columns: [UInt8] = []
    private var column = 0
    private var isHead = false

    mutating func run(_ document: OpaquePointer) {
        guard let iterator = cmark_iter_new(document) else { return }
        defer { cmark_iter_free(iterator) }
        while true {
            let event = cmark_iter_next(iterator)
            guard event != CMARK_EVENT_DONE, event != CMARK_EVENT_NONE, let node = cmark_iter_get_node(iterator) else { return }
            if event == CMARK_EVENT_ENTER { enter(node) } else { leave(node) }
        }
    }

    private mutating func enter(_ node: OpaquePointer) {
        let name = Markdown.name(of: node)
        switch name {
        case "text", "html_inline":
            // The parser leaves empty ones beside links it found by itself.
            let text = literal(node)
            if !text.isEmpty { writer.value(text) }
            return
        case "softbreak", "linebreak": return element("br")
        case "code": return element("code", text: literal(node))
        case "thematic_break": return element("hr")
        case "code_block": return code(literal(node), language: cmark_node_get_fence_info(node).map { String(cString: $0) } ?? "")
        case "html_block": return code(literal(node), language: "html")
        default: break
        }
        // The document is one, and its parts begin at level 1.
        guard open.count <= Markdown.maximumDepth else { return open.append(0) }
        switch name {
        case "document": begin(nil)
        case "block_quote": begin("blockquote")
        case "list":
            if cmark_node_get_list_type(node) == CMARK_ORDERED_LIST {
                let start = cmark_node_get_list_start(node)
                begin("ol") { if start != 1 { $0.field("start", Int(start)) } }
            } else {
                begin("ul")
            }
        case "item": begin("li")
        case "tasklist":
            let isChecked = cmark_gfm_extensions_get_tasklist_item_checked(node)
            begin("li") { $0.field("checked", isChecked) }
        case "paragraph": isTight(node) ? open.append(0) : begin("p")
        case "heading": begin("h\(min(max(cmark_node_get_heading_level(node), 1), 6))")
        case "emph": begin("em")
        case "strong": begin("strong")
        case "strikethrough": begin("del")
        case "link": link(node)
        case "image": link(node)
        case "table":
            let count = Int(cmark_gfm_extensions_get_table_columns(node))
            columns = cmark_gfm_extensions_get_table_alignments(node).map { Array(UnsafeBufferPointer(start: $0, count: count)) } ?? []
            begin("table")
        case "table_header":
            (column, isHead) = (0, true)
            begin("thead")
            begin("tr", with: 1)
        case "table_row":
            (column, isHead) = (0, false)
            // The body begins with its first row, and is closed by the table.
            if Markdown.name(of: cmark_node_previous(node)) == "table_header" {
                writer.openArray()
                writer.value("tbody")
                open[open.count - 1] += 1
            }
            begin("tr")
        case "table_cell":
            let alignment: String? =
                switch columns.indices.contains(column) ? columns[column] : 0 {
                case UInt8(ascii: "l"): "left"
                case UInt8(ascii: "c"): "center"
                case UInt8(ascii: "r"): "right"
                default: nil
                }
            column += 1
            begin(isHead ? "th" : "td") { $0.field(ifPresent: "align", alignment) }
        default: open.append(0)
        }
    }

    private mutating func leave(_ node: OpaquePointer) {
        guard let arrays = open.popLast() else { return }
        if arrays > 0, let address = address(of: node), !isSafe(address) { writer.value(" (\(address))") }
        for _ in 0..<arrays { writer.closeArray() }
    }

    // MARK: pieces

    /// Opens an element that its node closes; without a tag a plain list.
    /// - Parameter outer: how many arrays were opened for the same node before; they close together.
    private mutating func begin(_ tag: String?, with outer: Int = 0, _ attributes: ((inout JSONWriter) -> Void)? = nil) {
        writer.openArray()
        if let tag { writer.value(tag) }
        if let attributes {
            var probe = JSONWriter()
            probe.object(attributes)
            if probe.bytes.count > 2 { writer.value(JSONText(trusted: probe.bytes)) }
        }
        if outer > 0 { open[open.count - 1] += 1 } else { open.append(1) }
    }

    private mutating func element(_ tag: String, text: String? = nil) {
        writer.array { writer in
            writer.value(tag)
            if let text { writer.value(text) }
        }
    }

    private mutating func code(_ text: String, language: String) {
        // An info string begins with the language (CommonMark 0.29, section 4.5); 32: longer than any name of one.
        let name = language.split(separator: " ").first.map { String($0.prefix(32)) }
        writer.array { writer in
            writer.value("pre")
            if let name { writer.object { $0.field("lang", name) } }
            writer.array {
                $0.value("code")
                $0.value(text)
            }
        }
    }

    private mutating func link(_ node: OpaquePointer) {
        guard let address = address(of: node), isSafe(address) else { return begin("span") }
        let title = cmark_node_get_title(node).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
        begin("a") {
            $0.field("href", address)
            $0.field(ifPresent: "title", title)
        }
        // A picture without words would be a link without any.
        if Markdown.name(of: node) == "image", cmark_node_first_child(node) == nil { writer.value(address) }
    }

    private func address(of node: OpaquePointer) -> String? {
        switch Markdown.name(of: node) {
        case "link", "image": cmark_node_get_url(node).map { String(cString: $0) } ?? ""
        default: nil
        }
    }

    private func isSafe(_ address: String) -> Bool {
        let scheme = address.prefix { $0 != ":" }.lowercased()
        return address.utf8.count > scheme.utf8.count && ["http", "https", "mailto"].contains(scheme)
            && !address.unicodeScalars.contains { $0.value < 0x21 }
    }

    private func literal(_ node: OpaquePointer) -> String {
        cmark_node_get_literal(node).map { String(cString: $0) } ?? ""
    }

    /// A paragraph in a list without blank lines is just its words (CommonMark 0.29, section 5.3).
    private func isTight(_ paragraph: OpaquePointer) -> Bool {
        guard let item = cmark_node_parent(paragraph), ["item", "tasklist"].contains(Markdown.name(of: item)) else { return false }
        return cmark_node_get_list_tight(cmark_node_parent(item)) == 1
    }
}
