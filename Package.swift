// swift-tools-version: 6.1
import PackageDescription

// The house, floor by floor. A room may import the rooms named in its own line and no others:
// `swift build --explicit-target-dependency-import-check error` refuses the rest (scripts/test runs it).
//
// System libraries: Debian and Ubuntu `apt-get install libsimdjson-dev libre2-dev libsqlite3-dev libpq-dev libnats-dev zlib1g-dev
// libcmark-gfm-dev libcmark-gfm-extensions-dev`, macOS `brew install simdjson re2 sqlite libpq cnats cmark-gfm`.

var strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

// scripts/test sets it: there, what the compiler warns of in our own targets stops the build.
if Context.environment["PARLEY_WARNINGS_AS_ERRORS"] != nil { strict.append(.unsafeFlags(["-warnings-as-errors"])) }

// scripts/fuzz sets it to libFuzzer's library. Then our own rooms are built so that libFuzzer sees where an input leads.
let fuzzer = Context.environment["PARLEY_FUZZER"]
// Blind, it only makes inputs up: nothing is built anew for that.
if fuzzer != nil, Context.environment["PARLEY_FUZZER_BLIND"] == nil { strict.append(.unsafeFlags(["-sanitize=fuzzer"])) }

let package = Package(
    name: "parley",
    platforms: [.macOS(.v15), .iOS(.v16), .tvOS(.v16), .watchOS(.v9), .visionOS(.v1)],
    products: [
        .library(name: "ParleyClient", targets: ["ParleyClient"]),
        .executable(name: "parley", targets: ["parley"]),
        .executable(name: "parley-load", targets: ["parley-load"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-extras.git", from: "1.35.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.0"),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.38.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-collections.git", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-configuration.git", from: "1.4.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
        .package(url: "https://github.com/vapor/jwt-kit.git", from: "5.7.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.0"),
        .package(url: "https://github.com/swift-server/async-http-client.git", from: "1.37.0"),
        .package(url: "https://github.com/groue/GRDB.swift.git", from: "7.10.0"),
    ],
    targets: [
        // The middle: what every room knows.
        .target(
            name: "CSimdJSON",
            linkerSettings: [.linkedLibrary("simdjson")]),
        .target(
            name: "Events",
            dependencies: ["CSimdJSON", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: strict),
        .target(name: "Conversations", dependencies: ["Events"], swiftSettings: strict),

        // What is taken out of texts before they are stored.
        .target(
            name: "CRE2",
            linkerSettings: [.linkedLibrary("re2")]),
        .target(
            name: "Scrubbing",
            dependencies: ["CRE2", "Events", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: strict),

        // The way in: Gateway → Ingest → Keys.
        .target(
            name: "Keys",
            dependencies: [
                "Events", "Scrubbing",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "JWTKit", package: "jwt-kit"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict),
        .target(
            name: "Ingest",
            dependencies: [
                "Events", "Keys", "Scrubbing",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),
        // What the files of the page and of the snippet travel in.
        .target(name: "Gzip", dependencies: ["CZlib"], swiftSettings: strict),
        .target(
            name: "Gateway",
            dependencies: [
                "CZlib", "Events", "Gzip", "Ingest", "Keys",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOWebSocket", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict),

        // One dialect each.
        .target(name: "NativeDoor", dependencies: ["Events"], path: "Sources/Doors/Native", swiftSettings: strict),
        .target(
            name: "LunaryDoor", dependencies: ["Events", .product(name: "Crypto", package: "swift-crypto")], path: "Sources/Doors/Lunary",
            swiftSettings: strict),
        .target(name: "OpikDoor", dependencies: ["Events"], path: "Sources/Doors/Opik", swiftSettings: strict),
        .target(name: "AgnostDoor", dependencies: ["Events"], path: "Sources/Doors/Agnost", swiftSettings: strict),
        .target(
            name: "OTLPDoor", dependencies: ["Events", .product(name: "SwiftProtobuf", package: "swift-protobuf")],
            path: "Sources/Doors/OTLP", exclude: ["trace.proto"], swiftSettings: strict),

        // Where events rest.
        .systemLibrary(
            name: "CSQLite", path: "Sources/CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"]), .brew(["sqlite3"])]),
        .target(
            name: "SQLiteStore",
            dependencies: [
                "CSQLite", "Events", "Conversations",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/Stores/SQLite",
            swiftSettings: strict),
        .systemLibrary(name: "CLibPQ", path: "Sources/CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"]), .brew(["libpq"])]),
        .target(
            name: "PostgresStore",
            dependencies: [
                "CLibPQ", "Events", "Conversations",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/Stores/Postgres",
            swiftSettings: strict),

        // From the one store to the other: the room that knows both.
        .target(
            name: "StoreMigration",
            dependencies: [
                "CLibPQ", "PostgresStore", "SQLiteStore",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
            ],
            path: "Sources/Stores/Migration",
            swiftSettings: strict),

        // What carries events between gateways and stores, where one machine is not enough.
        .systemLibrary(name: "CNATS", path: "Sources/CNATS", pkgConfig: "libnats", providers: [.apt(["libnats-dev"]), .brew(["cnats"])]),
        .target(
            name: "NATSStream",
            dependencies: [
                "CNATS", "Events", .product(name: "GRDB", package: "GRDB.swift"), .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/Streams/NATS",
            exclude: ["README.md"],
            swiftSettings: strict),

        // What people see.
        .systemLibrary(
            name: "CMarkGFM", pkgConfig: "libcmark-gfm",
            providers: [.apt(["libcmark-gfm-dev", "libcmark-gfm-extensions-dev"]), .brew(["cmark-gfm"])]),
        .target(
            name: "Review",
            dependencies: [
                "CMarkGFM", "Events", "Conversations", "Gzip",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            resources: [.embedInCode("Resources")],
            swiftSettings: strict),
        .target(
            name: "WebSnippet",
            path: "web-snippet",
            exclude: [
                "README.md", "test", "build.js", "size.js", "snippet.js", "loader.js", "carry.js", "node.js", "react.js", "snippet.d.ts",
                "carry.d.ts", "node.d.ts", "react.d.ts",
            ],
            sources: ["WebSnippet.swift"],
            resources: [.embedInCode("dist")],
            swiftSettings: strict),

        // The senders' side: for apps and servers, with nothing but Foundation. It knows no other room.
        .target(name: "ParleyClient", path: "Sources/Client", exclude: ["README.md"], swiftSettings: strict),

        // The only room that names doors, stream and store.
        .executableTarget(
            name: "parley",
            dependencies: [
                "AgnostDoor", "Conversations", "Events", "Gateway", "Ingest", "Keys", "LunaryDoor", "NATSStream", "NativeDoor", "OTLPDoor",
                "OpikDoor", "PostgresStore", "Review", "SQLiteStore", "Scrubbing", "StoreMigration", "WebSnippet",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Sources/Server",
            swiftSettings: strict),
        .executableTarget(
            name: "parley-load",
            dependencies: [
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOWebSocket", package: "swift-nio"),
            ],
            path: "Sources/LoadGenerator",
            swiftSettings: strict),
        // The way in without a store, for scripts/bench.
        .executableTarget(
            name: "parley-discard",
            dependencies: [
                "Events", "Gateway", "Ingest", "Keys", "NativeDoor",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            path: "Benchmarks/Discard",
            swiftSettings: strict),
        .executableTarget(
            name: "parley-hotpath",
            dependencies: ["Events", "Ingest", "NativeDoor", "SQLiteStore", .product(name: "Logging", package: "swift-log")],
            path: "Benchmarks/HotPath",
            exclude: ["thresholds.json"],
            swiftSettings: strict),
        // The stream, beside NATS's own client.
        .executableTarget(
            name: "parley-stream-bench",
            dependencies: ["CNATS", "Events", "NATSStream", .product(name: "Logging", package: "swift-log")],
            path: "Benchmarks/Stream",
            swiftSettings: strict),
        // What Autobahn|Testsuite is run against.
        .executableTarget(
            name: "parley-echo",
            dependencies: [
                "Gateway",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Tests/WebSocket/Echo",
            swiftSettings: strict),
        .target(name: "TestKit", dependencies: ["Events", "Conversations"], swiftSettings: strict),

        // Tests mirror the rooms.
        .testTarget(
            name: "EventsTests", dependencies: ["Events", .product(name: "Crypto", package: "swift-crypto")], swiftSettings: strict),
        .testTarget(name: "ConversationsTests", dependencies: ["Conversations", "Events", "TestKit"], swiftSettings: strict),
        .testTarget(name: "ScrubbingTests", dependencies: ["Scrubbing", "Events", "TestKit"], swiftSettings: strict),
        .testTarget(name: "ClientTests", dependencies: ["ParleyClient"], swiftSettings: strict),
        .testTarget(
            name: "KeysTests", dependencies: ["Keys", "Events", "TestKit", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict),
        .testTarget(
            name: "IngestTests",
            dependencies: [
                "Ingest", "Keys", "Events", "TestKit",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict),
        .testTarget(name: "NativeDoorTests", dependencies: ["NativeDoor", "Events", "TestKit"], swiftSettings: strict),
        .testTarget(
            name: "LunaryDoorTests", dependencies: ["LunaryDoor", "Events"], exclude: ["Captures"], swiftSettings: strict),
        .testTarget(
            name: "OpikDoorTests", dependencies: ["OpikDoor", "Events", "Conversations"], exclude: ["Captures"], swiftSettings: strict),
        .testTarget(
            name: "AgnostDoorTests", dependencies: ["AgnostDoor", "Events"], exclude: ["Captures"], swiftSettings: strict),
        .testTarget(name: "OTLPDoorTests", dependencies: ["OTLPDoor", "Events"], exclude: ["Captures"], swiftSettings: strict),
        .testTarget(
            name: "ConformanceTests",
            dependencies: [
                "NativeDoor", "Ingest", "Keys", "SQLiteStore", "Conversations", "Events", "TestKit",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "DoorOrderTests",
            dependencies: [
                "LunaryDoor", "OpikDoor", "AgnostDoor", "OTLPDoor", "NativeDoor", "Ingest", "Keys", "SQLiteStore", "Conversations",
                "Events",
                "TestKit", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "SQLiteStoreTests",
            dependencies: [
                "SQLiteStore", "TestKit", "Events", "Conversations",
                .product(name: "GRDB", package: "GRDB.swift"), .product(name: "Logging", package: "swift-log"),
            ],
            exclude: ["Frozen"],
            swiftSettings: strict),
        .testTarget(
            name: "PostgresStoreTests",
            dependencies: [
                "PostgresStore", "SQLiteStore", "TestKit", "Events", "Conversations",
                .product(name: "GRDB", package: "GRDB.swift"), .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "NATSStreamTests",
            dependencies: ["NATSStream", "Events", "TestKit", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict),
        .testTarget(
            name: "ReviewTests",
            dependencies: [
                "Conversations", "Events", "Review",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "GatewayTests",
            dependencies: [
                "CZlib", "Events", "Gateway", "Ingest", "Keys",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOWebSocket", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict),
    ]
)

// What strangers' bytes are read by, under libFuzzer; a program that only scripts/fuzz builds.
if let fuzzer {
    package.targets += [
        .target(name: "CFuzzer", path: "Tests/Fuzz/CFuzzer"),
        .executableTarget(
            name: "parley-fuzz",
            dependencies: [
                "AgnostDoor", "CFuzzer", "Events", "Gateway", "Ingest", "Keys", "LunaryDoor", "NativeDoor", "OTLPDoor", "OpikDoor",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Tests/Fuzz/Targets",
            swiftSettings: strict,
            linkerSettings: [.unsafeFlags([fuzzer]), .linkedLibrary("stdc++"), .linkedLibrary("m")]),
    ]
}
