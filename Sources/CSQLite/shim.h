#include <sqlite3.h>

/// sqlite3_config(), which takes any number of arguments and can't be called from Swift: SQLite counts no memory, or it locks a mutex around
/// each allocation (SQLite, "SQLITE_CONFIG_MEMSTATUS"). Has no effect once SQLite was used in this process.
static inline int parley_sqlite_count_no_memory(void) { return sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); }
