import Foundation

/// Hears from the system when the app goes and comes back. The names are spelled out, so that no user interface is linked; where none of
/// them is ever posted, as on a server, nothing happens.
///
/// `@unchecked` holds because `observers` is set once, in the initializer, and `NotificationCenter` takes removals on any thread.
final class Lifecycle: @unchecked Sendable {
    /// After these the app may be ended without another word.
    static let leaving = [
        "UIApplicationDidEnterBackgroundNotification", "NSExtensionHostDidEnterBackgroundNotification",
        "WKApplicationDidEnterBackgroundNotification", "NSApplicationWillTerminateNotification",
    ]
    static let back = [
        "UIApplicationWillEnterForegroundNotification", "NSExtensionHostWillEnterForegroundNotification",
        "WKApplicationWillEnterForegroundNotification", "NSApplicationDidBecomeActiveNotification",
    ]

    private let center: NotificationCenter
    private let observers: [any NSObjectProtocol]

    init(of courier: Courier, in center: NotificationCenter) {
        self.center = center
        observers =
            Self.leaving.map { name in
                center.addObserver(forName: Notification.Name(name), object: nil, queue: nil) { [weak courier] _ in
                    guard let courier else { return }
                    courier.leave()
                    Self.askForTime(courier)
                }
            }
            + Self.back.map { name in
                center.addObserver(forName: Notification.Name(name), object: nil, queue: nil) { [weak courier] _ in courier?.back() }
            }
    }

    deinit { observers.forEach { center.removeObserver($0) } }

    /// Phones stop an app a few seconds after it left the screen, unless it says that it is in the middle of something. The closure is
    /// called a second time when that time is over; the first call holds a thread of the system's until everything is delivered.
    private static func askForTime(_ courier: Courier) {
        #if os(iOS) || os(tvOS) || os(watchOS) || os(visionOS)
        let over = DispatchSemaphore(value: 0)
        ProcessInfo.processInfo.performExpiringActivity(withReason: "Delivering what was said in a chat") { expired in
            guard !expired else {
                over.signal()
                return
            }
            // 20 s is less than systems grant, which is about 30.
            courier.flush(within: 20_000) { _ in over.signal() }
            over.wait()
        }
        #endif
    }
}
