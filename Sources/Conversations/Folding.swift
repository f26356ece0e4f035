/// Letters told apart no more than somebody who searches does: by neither case nor the marks on Latin ones.
enum Folding {
    /// A letter's simple case folding (Unicode, CaseFolding.txt, C and S), without marks where it is a Latin one: `É` is `e`, `Ω` is `ω`,
    /// `ß` and `ﬁ` stay as they are.
    static func folded(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
        let folded = caseFolded(scalar)
        return letters[folded] ?? folded
    }

    private static func caseFolded(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
        let properties = scalar.properties
        // The Turkish one without a dot is no `i`, though it has the same capital.
        guard properties.isCased, scalar != "\u{131}" else { return scalar }
        // Over the capital, so that all small forms of a letter (`ς`, `σ`) are one.
        if let capital = only(properties.uppercaseMapping), let small = only(capital.properties.lowercaseMapping) { return small }
        return only(properties.lowercaseMapping) ?? scalar
    }

    private static func only(_ text: String) -> Unicode.Scalar? {
        let scalars = text.unicodeScalars
        return scalars.index(after: scalars.startIndex) == scalars.endIndex ? scalars.first : nil
    }

    /// Each letter with marks, by the plain one its canonical decomposition begins with (UnicodeData.txt).
    private static let letters: [Unicode.Scalar: Unicode.Scalar] = {
        var letters: [Unicode.Scalar: Unicode.Scalar] = [:]
        for row in marked {
            let scalars = row.unicodeScalars
            for scalar in scalars.dropFirst() { letters[scalar] = scalars.first! }
        }
        return letters
    }()

    /// A plain letter, and those that are it with marks.
    private static let marked = [
        "aàáâãäåāăąǎǟǡǻȁȃȧḁạảấầẩẫậắằẳẵặ",
        "bḃḅḇ",
        "cçćĉċčḉ",
        "dďḋḍḏḑḓ",
        "eèéêëēĕėęěȅȇȩḕḗḙḛḝẹẻẽếềểễệ",
        "fḟ",
        "gĝğġģǧǵḡ",
        "hĥȟḣḥḧḩḫẖ",
        "iìíîïĩīĭįİǐȉȋḭḯỉị",
        "jĵǰ",
        "kķǩḱḳḵ",
        "lĺļľḷḹḻḽ",
        "mḿṁṃ",
        "nñńņňǹṅṇṉṋ",
        "oòóôõöōŏőơǒǫǭȍȏȫȭȯȱṍṏṑṓọỏốồổỗộớờởỡợ",
        "pṕṗ",
        "rŕŗřȑȓṙṛṝṟ",
        "sśŝşšșṡṣṥṧṩ",
        "tţťțṫṭṯṱẗ",
        "uùúûüũūŭůűųưǔǖǘǚǜȕȗṳṵṷṹṻụủứừửữự",
        "vṽṿ",
        "wŵẁẃẅẇẉẘ",
        "xẋẍ",
        "yýÿŷȳẏẙỳỵỷỹ",
        "zźżžẑẓẕ",
    ]
}
