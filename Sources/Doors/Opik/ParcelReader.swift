import Events

/// Reads the bodies of writes into parcels, each item with the project it names.
struct ParcelReader {
    let receivedAt: Timestamp

    /// Opik's name for the project of whoever names none.
    static let defaultProject = "Default Project"

    /// `{"traces":[…]}` or `{"spans":[…]}`, 1 to 1000 of them.
    func records(_ json: JSONValue, named name: StaticString, as kind: RunRecord.Kind) throws(Refusal) -> Parcel {
        let list = try Self.list(json, named: name)
        var parcel = Parcel(items: [])
        list.forEachElement { record in
            add(of: record, to: &parcel) { RunRecord(record, kind, receivedAt: receivedAt).item }
        }
        return parcel
    }

    /// One trace or span.
    func record(_ json: JSONValue, as kind: RunRecord.Kind) throws(Refusal) -> Parcel {
        var parcel = Parcel(items: [])
        add(of: json, to: &parcel) { RunRecord(json, kind, receivedAt: receivedAt).item }
        return parcel
    }

    func patch(_ json: JSONValue, of id: String, as kind: RunRecord.Kind) throws(Refusal) -> Parcel {
        var parcel = Parcel(items: [])
        add(of: json, to: &parcel) { RunRecord(json, kind, patching: id, receivedAt: receivedAt).item }
        return parcel
    }

    /// `{"scores":[…]}` of traces or spans.
    func scores(_ json: JSONValue) throws(Refusal) -> Parcel {
        let list = try Self.list(json, named: "scores")
        var parcel = Parcel(items: [])
        list.forEachElement { score in
            let position = parcel.items.count
            add(of: score, to: &parcel) {
                ScoreRecord(score, target: score.text("id"), receivedAt: receivedAt, position: position).item
            }
        }
        return parcel
    }

    private func add(of json: JSONValue, to parcel: inout Parcel, _ item: () -> Parcel.Item) {
        // P-LIMIT-3, before anything is made of it.
        let isTooMany = json.tapeWords > 2 * Event.Bounds.keys && json.keyCount > Event.Bounds.keys
        parcel.items.append(
            isTooMany
                ? .refused(RefusedItem(id: json.text("id"), type: nil, refusal: Refusal(.tooManyKeys), payload: nil)) : item())
        parcel.destinations.append(.named(json.nonEmptyText("project_name") ?? Self.defaultProject))
    }

    static func list(_ json: JSONValue, named name: StaticString) throws(Refusal) -> JSONValue {
        guard let list = json[name], list.kind == .array else {
            throw Refusal(.missingField, field: "\(name)", "\(name) must be a list.")
        }
        let count = list.count
        guard (1...OpikDoor.Limits.batch).contains(count) else {
            throw Refusal(
                .batchTooLarge, field: "\(name)", "\(name) must have 1 to \(OpikDoor.Limits.batch) elements; there are \(count).")
        }
        return list
    }
}
