import Events
import Keys
import Testing

@Suite("Key text")
struct KeyTextTests {
    private static let alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

    private func isMalformed(_ text: String) -> Bool {
        do {
            _ = try KeyText(reading: text)
            return false
        } catch { return error.reason == .malformedKey && error.field == "key" && !error.message.isEmpty }
    }

    @Test(
        "the checksum is the CRC-32 of what stands before it, in six base62 digits",
        arguments: [
            ("pk_abcdefghijklmnopqrstuv0PsK1C", Lane.public), ("sk_abcdefghijklmnopqrstuvwxyz0123451sTrBG", .secret),
        ])
    func known(_ text: String, _ lane: Lane) throws {
        let key = try KeyText(reading: text)
        #expect(key.lane == lane && key.text == text && key.digest.count == 32)
    }

    @Test("a new key reads back, in its lane, and no two are alike", arguments: Lane.allCases)
    func made(_ lane: Lane) throws {
        var seen: Set<String> = []
        for _ in 0..<200 {
            let key = KeyText.make(lane)
            #expect(try KeyText(reading: key.text) == key)
            #expect(key.text.utf8.count == (lane == .public ? 31 : 41))
            #expect(key.text.dropFirst(3).allSatisfy(Self.alphabet.contains))
            seen.insert(key.text)
        }
        #expect(seen.count == 200)
    }

    @Test("every wrong character is noticed, in every place", arguments: Lane.allCases)
    func typos(_ lane: Lane) {
        let text = Array(KeyText.make(lane).text)
        for place in text.indices {
            for letter in Self.alphabet + ["-", " ", "é"] where letter != text[place] {
                var typo = text
                typo[place] = letter
                if !isMalformed(String(typo)) { #expect(Bool(false), "\(letter) at \(place) of \(String(text)) goes unnoticed") }
            }
        }
    }

    @Test("characters that changed places, got lost or came twice are noticed", arguments: Lane.allCases)
    func slips(_ lane: Lane) {
        let text = Array(KeyText.make(lane).text)
        for place in text.indices {
            var lost = text
            lost.remove(at: place)
            #expect(isMalformed(String(lost)))
            var twice = text
            twice.insert(text[place], at: place)
            #expect(isMalformed(String(twice)))
            guard place + 1 < text.count, text[place] != text[place + 1] else { continue }
            var swapped = text
            swapped.swapAt(place, place + 1)
            #expect(isMalformed(String(swapped)))
        }
    }

    @Test(
        "what is no key at all is malformed, without a look-up",
        arguments: [
            "", "pk_", "sk_", "pk_changeme", "PK_abcdefghijklmnopqrstuv0PsK1C", "pk-abcdefghijklmnopqrstuv0PsK1C",
            " pk_abcdefghijklmnopqrstuv0PsK1C",
            "pk_abcdefghijklmnopqrstuv0PsK1C ", "pk_abcdefghijklmnopqrstuv0psk1c", "sk_abcdefghijklmnopqrstuv0PsK1C",
            "Bearer pk_abcdefghijklmnopqrstuv0PsK1C", "🔑",
        ])
    func noKey(_ text: String) { #expect(isMalformed(text)) }

    @Test("a character outside the alphabet is malformed, though the checksum holds")
    func alphabet() { #expect(isMalformed("pk_abcdefghij-lmnopqrstuv3gsHRC")) }

    @Test("a record shows a public key whole and of a secret key only the beginning")
    func records() {
        let now = Timestamp(microseconds: 0)
        let (publicText, publicRecord) = KeyRecord.issue(.public, project: ProjectID(1), at: now)
        #expect(publicRecord.shown == publicText.text && publicRecord.digest == publicText.digest)
        let (secretText, secretRecord) = KeyRecord.issue(.secret, scope: .workspace, project: ProjectID(1), at: now)
        #expect(secretRecord.project == nil && secretRecord.shown.count < 12)
        #expect(!"\(secretRecord)".contains(secretText.text))
    }
}
