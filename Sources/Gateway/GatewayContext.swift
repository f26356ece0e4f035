public import Hummingbird
public import NIOCore

/// What a route knows of a request beyond its head: the connection it came on.
public struct GatewayContext: RequestContext {
    public var coreContext: CoreRequestContextStorage
    public let channel: any Channel

    public init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }

    /// The address at the other end of the connection: a client, or a proxy in front of it.
    public var peer: String { channel.remoteAddress?.ipAddress ?? "unknown" }
}
