import Dispatch

/// Runs the writer's commits, and what whoever brings them does in between, one after the other on one thread.
///
/// A commit by way of Swift's common threads and the writer's own queue changes threads four times, and blocks none of them for long; here it
/// changes none, and waits for the disk where nobody else waits behind it.
final class CommitQueue: TaskExecutor {
    private let queue = DispatchQueue(label: "parley.sqlite.commits")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
