import CFuzzer

/// Runs one fuzz target: `parley-fuzz TARGET [libFuzzer's options] [CORPUS…]`; `scripts/fuzz` does it for all.
@main
enum Fuzz {
    /// What is read by whom: each takes bytes as a stranger sends them, and traps where something that must hold doesn't.
    static let targets: [String: @Sendable (UnsafeBufferPointer<UInt8>) -> Void] = [
        "frames": Frames.run, "json": Bodies.json, "gzip": Bodies.inflate, "origins": Trust.origin, "tokens": Trust.token,
        "native": Doors.native, "socket": Doors.socket, "lunary": Doors.lunary, "opik": Doors.opik, "agnost": Doors.agnost,
        "otlp": Doors.otlp,
    ]

    /// The chosen one: libFuzzer takes a function that carries nothing with it. Set once, before the only thread begins.
    nonisolated(unsafe) private static var chosen: @Sendable (UnsafeBufferPointer<UInt8>) -> Void = { _ in }

    static func main() {
        guard CommandLine.argc > 1, let target = targets[CommandLine.arguments[1]] else {
            print("parley-fuzz TARGET [OPTION…] [CORPUS…]; the targets are \(targets.keys.sorted().joined(separator: " "))")
            return
        }
        chosen = target
        // The target's name stands where libFuzzer looks for the program's.
        var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv + 1
        var count = CommandLine.argc - 1
        _ = LLVMFuzzerRunDriver(&count, &arguments) { bytes, count in
            Fuzz.chosen(UnsafeBufferPointer(start: bytes, count: count))
            return 0
        }
    }
}

/// What must hold, also where the optimizer takes `assert` away.
func hold(_ condition: Bool, _ promise: @autoclosure () -> String) {
    if !condition { fatalError("broken: " + promise()) }
}
