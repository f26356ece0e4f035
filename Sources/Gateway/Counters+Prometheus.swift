import Events
import Ingest

extension Counters {
    /// What is not counted here and told beside it.
    struct Readings: Sendable {
        var pressure = 0.0
        /// What was taken out of texts, by its kind.
        var scrubbed: [String: Int] = [:]
        /// What `Holdings` holds, and may.
        var held: (bytes: Int, limit: Int) = (0, 0)
        var places = Places.Counts()
        var commits = CommitFigures()
        /// When the certificate runs out, where there is one.
        var certificateEnds: Int?
        var process: ProcessFigures?
        /// What stands behind the gateway says of itself.
        var behind: [Standing.Metric] = []
    }

    /// The Prometheus text format, version 0.0.4. OPERATIONS.md has the names.
    func prometheusText(_ now: Readings) -> String {
        let counts = snapshot
        var page = PrometheusPage()
        page.family("parley_events_total", "counter", "Events by verdict.")
        for name in Verdict.Name.allCases { page.sample("parley_events_total", [("verdict", name.rawValue)], counts.verdicts[name] ?? 0) }
        page.family("parley_event_reasons_total", "counter", "Events that were not stored, by reason.")
        for (reason, count) in counts.reasons.inOrder { page.sample("parley_event_reasons_total", [("reason", reason)], count) }
        page.family("parley_refusals_total", "counter", "Requests, frames and sockets refused as a whole, by reason.")
        for (reason, count) in counts.refusals.inOrder { page.sample("parley_refusals_total", [("reason", reason)], count) }
        page.family("parley_received_bytes_total", "counter", "Bytes of bodies and frames, after decompression.")
        for (transport, count) in counts.receivedBytes.inOrder {
            page.sample("parley_received_bytes_total", [("transport", transport)], count)
        }
        page.family("parley_http_requests_total", "counter", "Requests by route, method and status.")
        for (route, count) in counts.requests.sorted(by: {
            ($0.key.path, $0.key.method, $0.key.status) < ($1.key.path, $1.key.method, $1.key.status)
        }) {
            page.sample(
                "parley_http_requests_total", [("route", route.path), ("method", route.method), ("status", String(route.status))], count)
        }
        page.family("parley_connections_open", "gauge", "Connections open now, sockets among them.")
        page.sample("parley_connections_open", [], now.places.open)
        page.family(
            "parley_connections_of_one_address", "gauge", "How many of them the address with the most has, without trusted proxies.")
        page.sample("parley_connections_of_one_address", [], now.places.most)
        page.family("parley_connections_turned_away_total", "counter", "Connections and sockets beyond what one address gets.")
        page.sample("parley_connections_turned_away_total", [], now.places.turnedAway)
        page.family("parley_sockets_total", "counter", "Sockets opened.")
        page.sample("parley_sockets_total", [], counts.socketsOpened)
        page.family("parley_sockets_open", "gauge", "Sockets open now.")
        page.sample("parley_sockets_open", [], counts.openSockets)
        page.family("parley_socket_closes_total", "counter", "Sockets closed, by close code; 1006 is a connection that just ended.")
        for (code, count) in counts.closes.sorted(by: { $0.key < $1.key }) {
            page.sample("parley_socket_closes_total", [("code", String(code))], count)
        }
        page.family("parley_scrubbed_total", "counter", "What scrubbing rules took out of texts, by kind.")
        for kind in ScrubbingRule.What.names { page.sample("parley_scrubbed_total", [("kind", kind)], now.scrubbed[kind] ?? 0) }
        page.family("parley_held_bytes", "gauge", "Bytes of bodies and messages that are on their way.")
        page.sample("parley_held_bytes", [], now.held.bytes)
        page.family("parley_held_bytes_limit", "gauge", "How many there may be.")
        page.sample("parley_held_bytes_limit", [], now.held.limit)
        if let certificateEnds = now.certificateEnds {
            page.family("parley_tls_certificate_ends_seconds", "gauge", "When the certificate that is shown runs out, in Unix time.")
            page.sample("parley_tls_certificate_ends_seconds", [], certificateEnds)
        }
        page.family("parley_ingest_pressure", "gauge", "How full the queue in front of the store is, 0 to 1.")
        page.sample("parley_ingest_pressure", [], now.pressure)
        page.family("parley_queue_events", "gauge", "Events that wait for the store.")
        page.sample("parley_queue_events", [], now.commits.queuedEvents)
        page.family("parley_queue_bytes", "gauge", "Their bytes.")
        page.sample("parley_queue_bytes", [], now.commits.queuedBytes)
        page.family("parley_commit_failures_total", "counter", "Commits that failed; nothing of them was acknowledged.")
        page.sample("parley_commit_failures_total", [], now.commits.failures)
        page.family("parley_commit_seconds", "histogram", "How long commits took, failed ones too.")
        var count = 0
        for (bound, those) in zip(CommitFigures.bounds, now.commits.classes) {
            count += those
            page.sample("parley_commit_seconds_bucket", [("le", "\(bound)")], count)
        }
        count += now.commits.classes.last ?? 0
        page.sample("parley_commit_seconds_bucket", [("le", "+Inf")], count)
        page.sample("parley_commit_seconds_sum", [], now.commits.seconds)
        page.sample("parley_commit_seconds_count", [], count)
        for metric in now.behind {
            page.family(metric.name, metric.kind.rawValue, metric.help)
            for sample in metric.samples { page.sample(metric.name, sample.labels, sample.value) }
        }
        if let process = now.process { page.add(process) }
        return page.text
    }
}

/// Lines of the Prometheus text format. Label values are ours and need no escapes.
private struct PrometheusPage {
    var text = ""

    mutating func family(_ name: String, _ type: String, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    /// By the names that Prometheus' own client libraries have for them.
    mutating func add(_ process: ProcessFigures) {
        func add(_ name: String, _ type: String, _ help: String, _ value: (some CustomStringConvertible)?) {
            guard let value else { return }
            family(name, type, help)
            sample(name, [], value)
        }
        add("process_cpu_seconds_total", "counter", "Processor time, of all threads.", process.processorSeconds)
        add("process_resident_memory_bytes", "gauge", "Memory that is resident.", process.residentBytes)
        add("process_open_fds", "gauge", "File descriptors that are open.", process.openDescriptors)
        add("process_max_fds", "gauge", "How many there may be.", process.mostDescriptors)
        add("process_start_time_seconds", "gauge", "When it began, in seconds since 1970.", process.startSeconds)
    }

    mutating func sample(_ name: String, _ labels: [(String, String)], _ value: some CustomStringConvertible) {
        let inside = labels.map { "\($0.0)=\"\($0.1)\"" }.joined(separator: ",")
        text += labels.isEmpty ? "\(name) \(value)\n" : "\(name){\(inside)} \(value)\n"
    }
}

extension Dictionary where Key: RawRepresentable, Key.RawValue == String, Value == Int {
    fileprivate var inOrder: [(String, Int)] { map { ($0.key.rawValue, $0.value) }.sorted { $0.0 < $1.0 } }
}
