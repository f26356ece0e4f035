public import Logging
import NIOSSL
public import ServiceLifecycle
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The certificate and the key that the gateway shows, read from two PEM files and changed while it runs.
///
/// Connections keep the pair they began with. A new pair counts for those that come after it; one that is broken is said in the log and
/// changes nothing, so that a renewal which went wrong takes nobody off the air. Speaks TLS 1.2 and 1.3.
public final class TLSIdentity: Service {
    /// Why a pair can't be used, for the person who named the files.
    public struct Failure: Error, CustomStringConvertible {
        public var description: String
    }

    private struct Pair {
        var context: NIOSSLContext
        /// When the certificate runs out, in seconds of Unix time.
        var notAfter: Int
    }

    private struct State {
        var pair: Pair
        /// What the files held when they were last tried, by a hash: the key is not kept a second time. nil where they could not be read.
        var tried: Int?
    }

    /// Renewals come in weeks; a wrong one wants to be seen while somebody is still there.
    private static let lookSeconds = 5

    private let certificate: String
    private let key: String
    private let logger: Logger
    private let state: Mutex<State>

    /// - Parameters:
    ///   - certificate: a file of certificates in PEM: the server's first, then those that vouch for it.
    ///   - key: a file with its private key in PEM, without a passphrase.
    public init(certificate: String, key: String, logger: Logger) throws(Failure) {
        (self.certificate, self.key, self.logger) = (certificate, key, logger)
        let files = try Self.files(certificate, key)
        state = Mutex(State(pair: try Self.pair(files, certificate, key), tried: files.hashValue))
    }

    /// What a new connection is begun with.
    var context: NIOSSLContext { state.withLock { $0.pair.context } }

    /// When the certificate that is shown runs out, in seconds of Unix time.
    var notAfter: Int { state.withLock { $0.pair.notAfter } }

    /// Looks at the files, and takes what they hold if it is new and sound.
    public func reload() {
        let found = Result { () throws(Failure) in try Self.files(certificate, key) }
        let hash = (try? found.get())?.hashValue
        let isNew = state.withLock { state in
            defer { state.tried = hash }
            return state.tried != hash
        }
        guard isNew else { return }
        do throws(Failure) {
            let pair = try Self.pair(found.get(), certificate, key)
            state.withLock { $0.pair = pair }
            logger.notice("a new certificate is shown", metadata: ["file": "\(certificate)"])
        } catch {
            logger.error("the certificate stays as it is", metadata: ["error": "\(error)"])
        }
    }

    public func run() async throws {
        try? await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                try await Task.sleep(for: .seconds(Self.lookSeconds))
                self.reload()
            }
        }
    }

    // MARK: the files

    private struct Files: Hashable {
        var certificate: [UInt8]
        var key: [UInt8]
    }

    private static func files(_ certificate: String, _ key: String) throws(Failure) -> Files {
        guard let chain = contents(of: certificate) else {
            throw Failure(description: "The certificate \(certificate) can't be read: check its name and its rights.")
        }
        guard let secret = contents(of: key) else {
            throw Failure(description: "The key \(key) can't be read: check its name and its rights.")
        }
        return Files(certificate: chain, key: secret)
    }

    /// nil when it can't be read, or is larger than any pair is.
    private static func contents(of path: String) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16 * 1024)
        while bytes.count <= 1 << 20 {
            let count = read(file, &piece, piece.count)
            guard count >= 0 else { return nil }
            guard count > 0 else { return bytes }
            bytes += piece[..<count]
        }
        return nil
    }

    private static func pair(_ files: Files, _ certificate: String, _ key: String) throws(Failure) -> Pair {
        guard let chain = try? NIOSSLCertificate.fromPEMBytes(files.certificate), let leaf = chain.first else {
            throw Failure(description: "\(certificate) holds no certificate in PEM.")
        }
        guard let secret = try? NIOSSLPrivateKey(bytes: files.key, format: .pem) else {
            throw Failure(description: "\(key) holds no private key in PEM, or one with a passphrase.")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(secret))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        do {
            return Pair(context: try NIOSSLContext(configuration: configuration), notAfter: Int(leaf.notValidAfter))
        } catch {
            throw Failure(description: "The key in \(key) does not belong to the certificate in \(certificate).")
        }
    }
}
