import Events

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The terminal: answers go to standard output, progress to standard error.
enum Console {
    static func line(_ text: String = "") throws { try write(Array((text + "\n").utf8), to: STDOUT_FILENO) }

    /// One JSON document, one line.
    static func json(_ build: (inout JSONWriter) -> Void) throws {
        var writer = JSONWriter()
        build(&writer)
        writer.endLine()
        try write(writer.bytes, to: STDOUT_FILENO)
    }

    static func note(_ text: String) { try? write(Array((text + "\n").utf8), to: STDERR_FILENO) }

    /// Whether a person is looking at the progress.
    static var isWatched: Bool { isatty(STDERR_FILENO) == 1 }

    /// Overwrites one line, where a person is looking; nothing in a pipe or a log.
    static func progress(_ text: String) {
        guard isWatched else { return }
        try? write(Array("\r\u{1B}[K\(text)".utf8), to: STDERR_FILENO)
    }

    static func endProgress() { progress("") }

    /// Writes all of it or throws; a reader that went away (EPIPE) ends the program in peace, as `head` expects.
    static func write(_ bytes: [UInt8], to descriptor: Int32) throws {
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { systemWrite(descriptor, $0.baseAddress!, $0.count) }
            if count >= 0 {
                written += count
            } else if errno == EPIPE {
                exit(0)
            } else if errno != EINTR {
                throw Complaint("Writing failed: \(String(cString: strerror(errno))). Free some space or write elsewhere.")
            }
        }
    }

    private static func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
        #if canImport(Glibc)
        Glibc.write(descriptor, bytes, count)
        #elseif canImport(Musl)
        Musl.write(descriptor, bytes, count)
        #else
        Darwin.write(descriptor, bytes, count)
        #endif
    }
}

/// Rows under a heading, each column as wide as its widest cell.
struct Table {
    private var rows: [[String]]

    init(_ heading: String...) { rows = [heading] }

    mutating func add(_ cells: String...) { rows.append(cells) }

    func write() throws {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        for row in rows {
            let cells = zip(row, widths).enumerated().map { column, cell in
                column == row.count - 1 ? cell.0 : cell.0 + String(repeating: " ", count: cell.1 - cell.0.count)
            }
            try Console.line(cells.joined(separator: "  "))
        }
    }
}

extension String {
    /// What a visitor typed, on one line: control characters can move a terminal's cursor or recolour it, and
    /// bidirectional overrides can reorder what stands beside them.
    func forTerminal(limit: Int = 80) -> String {
        var clean = ""
        var count = 0
        for scalar in unicodeScalars {
            if count == limit { return clean + "…" }
            switch scalar.properties.generalCategory {
            case .control, .lineSeparator, .paragraphSeparator: clean.append(" ")
            case .format where scalar != "\u{200D}": continue
            default: clean.unicodeScalars.append(scalar)
            }
            count += 1
        }
        return clean
    }
}
