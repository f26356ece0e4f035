import NIOCore

/// One batch: a run of a connection's events, from the moment it was due until it is answered.
///
/// It holds numbers only. Every byte of it can be written again (`Workload.write`), which is how an unanswered batch is repeated word for
/// word after a reconnect.
struct Flight {
    /// The first event's place in its connection's sequence.
    var first: Int
    var count: Int
    /// The events' own time, in epoch milliseconds: the same when they are sent again.
    var at: Int64
    /// When it was to be sent. In the open loop that is the schedule's time, so a server that stalls pays for the whole wait.
    var due: NIODeadline
    /// The batch number on the socket; starts at 1 with each session.
    var number = 0
    var isRepeat = false

    var range: Range<Int> { first..<first + count }

    /// Takes the first `count` events off as a flight of their own.
    mutating func split(_ count: Int) -> Flight {
        var head = self
        head.count = count
        self.first += count
        self.count -= count
        return head
    }
}
