/// How far a long work is: a bar on a terminal, a line now and then elsewhere.
struct ProgressBar {
    let what: String
    /// What is counted: `rows`.
    let unit: String
    private let began = ContinuousClock.now
    private var first: Int?
    private var shown: ContinuousClock.Instant?

    private static let width = 24

    init(_ what: String, unit: String) { (self.what, self.unit) = (what, unit) }

    mutating func show(_ done: Int, of total: Int, detail: String = "") {
        let now = ContinuousClock.now
        // The rate is that of this run, which may have begun in the middle.
        let first = self.first ?? done
        self.first = first
        let pause: Duration = Console.isWatched ? .milliseconds(100) : .seconds(10)
        guard shown.map({ now - $0 >= pause }) ?? !Console.isWatched else {
            shown = shown ?? now
            return
        }
        shown = now
        let share = total > 0 ? min(1, Double(done) / Double(total)) : 1
        let seconds = max((now - began) / .seconds(1), 0.001)
        let rate = Double(done - first) / seconds
        var text = "\(what) \(Int(share * 100))%, \(Self.grouped(done)) of \(Self.grouped(total)) \(unit)"
        if rate >= 1 { text += ", \(Self.grouped(Int(rate)))/s, \(Self.clock(Int(Double(max(0, total - done)) / rate))) left" }
        if !detail.isEmpty { text += " (\(detail))" }
        guard Console.isWatched else { return Console.note(text) }
        let full = Int(share * Double(Self.width))
        Console.progress("[\(String(repeating: "#", count: full))\(String(repeating: ".", count: Self.width - full))] \(text)")
    }

    func end() { Console.endProgress() }

    private static func grouped(_ number: Int) -> String {
        let digits = String(number)
        return digits.enumerated().map { ($0 > 0 && (digits.count - $0).isMultiple(of: 3) ? "," : "") + String($1) }.joined()
    }

    /// Minutes and seconds, with hours where there are any.
    private static func clock(_ seconds: Int) -> String {
        func two(_ number: Int) -> String { (number < 10 ? "0" : "") + "\(number)" }
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60)
        return (hours > 0 ? "\(hours):\(two(minutes))" : "\(minutes)") + ":" + two(seconds % 60)
    }
}
