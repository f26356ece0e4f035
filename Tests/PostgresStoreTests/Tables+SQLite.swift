import Events
import Foundation
import GRDB
@testable import SQLiteStore

extension Tables {
    static func of(_ store: SQLiteStore, _ project: ProjectID, _ statements: [(table: String, sql: String)] = statements) async throws
        -> [String: [String]]
    {
        try await store.pool.read { db in
            var tables: [String: [String]] = [:]
            for (table, sql) in statements {
                let rows = try Row.fetchAll(db, sql: sql.replacing(":p", with: "?"), arguments: [project.number])
                tables[table] = rows.map { row in
                    (0..<row.count).map { column -> String in
                        let value: DatabaseValue = row[column]
                        let said: String? =
                            switch value.storage {
                            case .null: nil
                            case .int64(let number): "\(number)"
                            case .double(let number): "\(number)"
                            case .string(let text): text
                            case .blob(let data): data.map { String($0, radix: 16) }.joined(separator: ",")
                            }
                        return word(said, table, column)
                    }.joined(separator: " | ")
                }.sorted()
            }
            return tables
        }
    }
}
