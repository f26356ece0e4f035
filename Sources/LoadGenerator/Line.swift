/// A sender's open way to the gateway: a socket, or a keep-alive connection that requests are posted on.
protocol Line: AnyObject {
    /// Puts a batch on the way; it leaves with the next `flush`.
    func send(_ flight: Flight)
    func flush()
    func close()
}
