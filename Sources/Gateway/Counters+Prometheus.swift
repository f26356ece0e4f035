import Events

extension Counters {
    /// The Prometheus text format, version 0.0.4.
    /// - Parameters:
    ///   - scrubbed: what was taken out of texts, by its kind.
    ///   - held: what `Holdings` holds, and may.
    ///   - certificateEnds: when the certificate runs out, where there is one.
    func prometheusText(
        pressure: Double, scrubbed: [String: Int] = [:], held: (bytes: Int, limit: Int) = (0, 0), places: Places.Counts = .init(),
        certificateEnds: Int? = nil
    ) -> String {
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
        page.sample("parley_connections_open", [], places.open)
        page.family(
            "parley_connections_of_one_address", "gauge", "How many of them the address with the most has, without trusted proxies.")
        page.sample("parley_connections_of_one_address", [], places.most)
        page.family("parley_connections_turned_away_total", "counter", "Connections and sockets beyond what one address gets.")
        page.sample("parley_connections_turned_away_total", [], places.turnedAway)
        page.family("parley_sockets_total", "counter", "Sockets opened.")
        page.sample("parley_sockets_total", [], counts.socketsOpened)
        page.family("parley_sockets_open", "gauge", "Sockets open now.")
        page.sample("parley_sockets_open", [], counts.openSockets)
        page.family("parley_socket_closes_total", "counter", "Sockets closed, by close code; 1006 is a connection that just ended.")
        for (code, count) in counts.closes.sorted(by: { $0.key < $1.key }) {
            page.sample("parley_socket_closes_total", [("code", String(code))], count)
        }
        page.family("parley_scrubbed_total", "counter", "What scrubbing rules took out of texts, by kind.")
        for kind in ScrubbingRule.What.names { page.sample("parley_scrubbed_total", [("kind", kind)], scrubbed[kind] ?? 0) }
        page.family("parley_held_bytes", "gauge", "Bytes of bodies and messages that are on their way.")
        page.sample("parley_held_bytes", [], held.bytes)
        page.family("parley_held_bytes_limit", "gauge", "How many there may be.")
        page.sample("parley_held_bytes_limit", [], held.limit)
        if let certificateEnds {
            page.family("parley_tls_certificate_ends_seconds", "gauge", "When the certificate that is shown runs out, in Unix time.")
            page.sample("parley_tls_certificate_ends_seconds", [], certificateEnds)
        }
        page.family("parley_ingest_pressure", "gauge", "How full the queue in front of the store is, 0 to 1.")
        page.sample("parley_ingest_pressure", [], pressure)
        return page.text
    }
}

/// Lines of the Prometheus text format. Label values are ours and need no escapes.
private struct PrometheusPage {
    var text = ""

    mutating func family(_ name: String, _ type: String, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    mutating func sample(_ name: String, _ labels: [(String, String)], _ value: some CustomStringConvertible) {
        let inside = labels.map { "\($0.0)=\"\($0.1)\"" }.joined(separator: ",")
        text += labels.isEmpty ? "\(name) \(value)\n" : "\(name){\(inside)} \(value)\n"
    }
}

extension Dictionary where Key: RawRepresentable, Key.RawValue == String, Value == Int {
    fileprivate var inOrder: [(String, Int)] { map { ($0.key.rawValue, $0.value) }.sorted { $0.0 < $1.0 } }
}
