/// The words that visitors and bots say here: several languages, accents, emoji and JSON escapes, because a gateway that only ever saw
/// `lorem ipsum` has not been measured.
enum Vocabulary {
    /// Already escaped for JSON; no word holds a space.
    static let words: [String] = """
        the a to my of is it for and order parcel delivery where when how can you please thanks hello hi refund invoice account password \
        reset shipping status yesterday tomorrow late broken screen phone number address change cancel subscription plan price discount \
        code store open hours agent human help understand sorry great perfect working still waiting days email link page error message \
        payment card declined charged twice bank euro dollars 42 1999 2026-11-21 #10482 SKU-77-B v2.1.0 https://example.com/orders/10482 \
        Größe Straße übermorgen Rückgabe könnte heißt natürlich Bestellung Lieferung wo wann warum danke bitte commande où est déjà reçu \
        livraison français café crème garçon señor mañana ¿cuándo? está número envío dirección gracias ação não coração português żółć \
        gęślą jaźń dziękuję спасибо заказ доставка когда привет ευχαριστώ παραγγελία שלום תודה مرحبا شكرا नमस्ते धन्यवाद สวัสดี 注文 配送 いつ \
        ありがとうございます 您好 订单 退款 감사합니다 배송 😀 🚚 👍🏽 👩‍💻 ❤️ \\"quoted\\" \\"really?\\" C:\\\\temp\\\\log.txt line\\nbreak tab\\there caf\\u00e9 \\u20ac50 \
        <b>bold</b> & &amp; `code` **strong** [link](https://example.com) {json:true} it's don't antidisestablishmentarianism
        """.split(separator: " ").map(String.init)

    /// At least `length` bytes of words with a space between any two and one at each end.
    static func tape(length: Int, seed: UInt64) -> [UInt8] {
        var numbers = SplitMix(state: seed)
        var tape: [UInt8] = [UInt8(ascii: " ")]
        tape.reserveCapacity(length + 64)
        let words = Vocabulary.words.map { Array($0.utf8) + [UInt8(ascii: " ")] }
        while tape.count < length { tape.append(contentsOf: words[Int(numbers.next() % UInt64(words.count))]) }
        return tape
    }
}
