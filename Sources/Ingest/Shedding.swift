import Events

/// Which events wait first when more comes than can be written (P-SHED-1): what a page reports beside the chat, then what else only
/// dresses it, then what backends say; what people said and how they voted is taken as long as there is room at all.
///
/// Shed is not lost: the verdict is `retry`, and whoever sent it sends it again.
enum Shedding {
    /// From how full a queue on something waits: clicks and reports of pages; the rest of what pages say but messages and votes; runs and
    /// the like from backends, which come again by themselves.
    static let extras = 0.5
    static let dressing = 0.75
    static let backends = 0.9

    static func refusal(of event: Event, lane: Lane, pressure: Double) -> Refusal? {
        guard pressure >= extras, pressure >= threshold(of: event, lane: lane) else { return nil }
        return Refusal(.overloaded)
    }

    static func threshold(of event: Event, lane: Lane) -> Double {
        switch (event.body, lane) {
        case (.message, _), (.feedback, _): .infinity
        case (.event, .public), (.other, .public), (.clientReport, .public): extras
        case (_, .public): dressing
        case (_, .secret): backends
        }
    }
}
