import Events
import Keys
import Review

/// Lets a backend read with its secret key: the key ring says which project, and public keys read nothing.
struct ReadAuthority: ReadAuthenticator {
    let keys: KeyRing

    func reader(bearer key: String, project: String?) async -> Result<(project: Project, key: String), Refusal> {
        keys.read(with: key, project: project)
    }
}
