import Foundation

/// The file that lists each event as it is answered: `ID VERDICT`, a line each.
///
/// A batch's lines are handed to the kernel before the next batch goes out, so a test may kill the gateway at any moment and hold it to every line there.
final class AckLog {
    private let file: FileHandle
    private var lines: [UInt8] = []

    init(path: String) throws {
        guard FileManager.default.createFile(atPath: path, contents: nil), let file = FileHandle(forWritingAtPath: path) else {
            throw CocoaError(.fileWriteUnknown, userInfo: [NSFilePathErrorKey: path])
        }
        self.file = file
    }

    func write(_ flight: Flight, of sender: Sender, workload: Workload) throws {
        lines.removeAll(keepingCapacity: true)
        for sequence in flight.range where sender.book[sequence] != .unanswered {
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Workload.idLength) { id in
                workload.writeID(of: sequence, on: sender.index, to: id.baseAddress!)
                lines.append(contentsOf: id)
            }
            lines.append(UInt8(ascii: " "))
            let name = sender.book[sequence].name
            lines.append(contentsOf: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
            lines.append(UInt8(ascii: "\n"))
        }
        try file.write(contentsOf: lines)
    }
}
