public import Events

/// Tells whose conversations a key may read; the server answers with what it knows of keys.
public protocol ReadAuthenticator: Sendable {
    /// The project a secret key reads, and the key's name of record. A public key is refused with `lane_forbidden`: it is in every
    /// page and reads nothing.
    /// - Parameter project: the name or ID a workspace key chooses by. For a key of one project it changes nothing;
    ///   `Review` refuses the request when it names another.
    func reader(bearer key: String, project: String?) async -> Result<(project: Project, key: String), Refusal>
}
