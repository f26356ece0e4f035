import Conversations
import Events
import Keys

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// The project for looking around: made at the first start, found again at the next.
struct Demo {
    static let name = "demo"
    /// Where the demo backend serves its chat page, unless scripts/run says otherwise.
    static let chat = "http://127.0.0.1:8788/"

    var publicKey: String
    var secretKey: String

    /// The demo's keys out of its file, if they still work; else new ones, and the project where it is missing.
    static func open(in folder: DataFolder, store: some ControlStore & ReviewStore, now: Timestamp) async throws -> Demo {
        let project: Project
        if let found = try await store.projects().first(where: { $0.name == name }) {
            project = found
            if let demo = saved(in: folder), try await demo.works(for: project, store: store, now: now) { return demo }
        } else {
            var settings = Project.Settings()
            settings.origins = ["http://127.0.0.1:*", "http://localhost:*"]
            project = try await store.createProject(named: name, settings: settings)
            try await store.note("project.create", in: project.number, subject: project.id) { $0.field("name", name) }
        }
        let keys = try await ProjectKeys.issue(for: project, label: "demo", in: store, now: now)
        let demo = Demo(publicKey: keys.publicKey, secretKey: keys.secretKey)
        var json = JSONWriter()
        json.object {
            $0.field("project", project.name)
            $0.field("publicKey", demo.publicKey)
            $0.field("secretKey", demo.secretKey)
        }
        try folder.write(json.bytes, to: folder.demoFile)
        return demo
    }

    private static func saved(in folder: DataFolder) -> Demo? {
        guard let data = FileManager.default.contents(atPath: folder.demoFile) else { return nil }
        let keys = try? JSONDocument.read(data) { json in (json["publicKey"]?.string, json["secretKey"]?.string) }
        guard let publicKey = keys?.0, let secretKey = keys?.1 else { return nil }
        return Demo(publicKey: publicKey, secretKey: secretKey)
    }

    private func works(for project: Project, store: some ControlStore, now: Timestamp) async throws -> Bool {
        let live = try await store.keys().filter { $0.project == project.number && $0.isLive(at: now) }.map(\.digest)
        return [publicKey, secretKey].allSatisfy { text in
            guard let key = try? KeyText(reading: text) else { return false }
            return live.contains(key.digest)
        }
    }
}

extension KeyRecord {
    func isLive(at now: Timestamp) -> Bool { revokedAt == nil && (expiresAt.map { $0 > now } ?? true) }
}

/// The pair of keys a project begins with.
struct ProjectKeys {
    var publicKey: String
    /// Shown once; the store keeps its digest only.
    var secretKey: String

    static func issue(for project: Project, label: String? = nil, in store: some ControlStore, now: Timestamp) async throws -> ProjectKeys {
        let page = KeyRecord.issue(.public, project: project.number, label: label, at: now)
        let backend = KeyRecord.issue(.secret, project: project.number, label: label, at: now)
        try await store.insert(page.record)
        try await store.insert(backend.record)
        return ProjectKeys(publicKey: page.text.text, secretKey: backend.text.text)
    }
}

/// What to paste into a page.
struct PageSnippet {
    var url: String
    var key: String
    var text: String { #"<script src="\#(url)/parley-loader.js" data-url="\#(url)" data-key="\#(key)"></script>"# }
}
