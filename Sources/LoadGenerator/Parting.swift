import NIOCore

/// What the end of a connection says about coming back.
enum Parting {
    case never
    case backOff(TimeAmount)
    case soon(TimeAmount)

    /// The bands of close codes: 4000-4099 do not come back, 4200-4299 reconnect at once, anything else backs off.
    init(closeCode: Int, after delay: TimeAmount) {
        switch closeCode {
        case 4000...4099: self = .never
        case 4200...4299: self = .soon(delay)
        default: self = .backOff(delay)
        }
    }
}
