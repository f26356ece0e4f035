// The floor under a durable event: a C loop that inserts rows a gateway has written, and nothing else.
//
//   rows --source FILE --target FILE --rows TABLE [--rows TABLE] [--fold SPEC] [--transaction 256] [--rate EVENTS-A-SECOND]
//
// It reads the rows of the source into memory, makes the same tables with the same indexes in a fresh file, and inserts the rows there
// again in their order, so many events a transaction. A fold is a row that many events share; it is written once a transaction:
//
//   --fold thread:number=event.thread:messages,last_at=at,last_message=id
//
// is the row of `thread` whose `number` stands in the column `thread` of `event`: inserted at first, then updated in the columns named,
// each with its own last value, or with what stands in that column of the event. The last 500 rows are committed one by one: what a
// commit costs by itself. With --rate transactions are due on a schedule, and a transaction's time counts from when it was due. Durable:
// WAL with synchronous FULL. Prints JSON.

#define _GNU_SOURCE
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { maximum_tables = 8, maximum_columns = 64, single_commits = 500 };

struct value {
    int type;
    int length;
    union { int64_t integer; double real; const char *bytes; } as;
};

struct table {
    const char *name;
    int columns;
    char *column[maximum_columns];
    int64_t count;
    struct value *values;
    sqlite3_stmt *insert;
};

struct fold {
    struct table table;
    int key;                        // its column in the fold
    int link;                       // the event's column that names it
    int changed, column[maximum_columns], from[maximum_columns];
    sqlite3_stmt *update;
    int64_t *place;                 // key → row
    int64_t places;
    int64_t *stamp, *last;          // of each row: the transaction it was touched in, the event that did so last
    char *written;
};

static sqlite3 *source, *target;
static struct table tables[maximum_tables];
static int table_count;
static struct fold fold;
static int has_fold;

static void stop(const char *what, const char *why) {
    fprintf(stderr, "rows: %s: %s\n", what, why);
    exit(1);
}

static void *memory(size_t size) {
    void *room = calloc(1, size ? size : 1);
    if (!room) stop("memory", "there is not enough for these rows");
    return room;
}

static void run(sqlite3 *db, const char *sql) {
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) stop(sql, sqlite3_errmsg(db));
}

static sqlite3_stmt *prepared(sqlite3 *db, const char *sql) {
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK) stop(sql, sqlite3_errmsg(db));
    return statement;
}

static int64_t number_of(sqlite3 *db, const char *sql) {
    sqlite3_stmt *statement = prepared(db, sql);
    int64_t number = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return number;
}

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void wait_for(double time) {
    struct timespec left = {.tv_sec = (time_t)time, .tv_nsec = (long)((time - (time_t)time) * 1e9)};
    nanosleep(&left, NULL);
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int column_named(const struct table *table, const char *name) {
    for (int column = 0; column < table->columns; column++)
        if (!strcmp(table->column[column], name)) return column;
    stop(name, "is no column here");
    return -1;
}

static struct value copy_of(sqlite3_stmt *statement, int column) {
    struct value value = {.type = sqlite3_column_type(statement, column)};
    switch (value.type) {
    case SQLITE_INTEGER: value.as.integer = sqlite3_column_int64(statement, column); break;
    case SQLITE_FLOAT: value.as.real = sqlite3_column_double(statement, column); break;
    case SQLITE_TEXT:
    case SQLITE_BLOB: {
        const void *bytes = sqlite3_column_blob(statement, column);
        value.length = sqlite3_column_bytes(statement, column);
        char *copy = memory(value.length);
        if (value.length) memcpy(copy, bytes, value.length);
        value.as.bytes = copy;
    }
    }
    return value;
}

static void bind(sqlite3_stmt *statement, int place, const struct value *value) {
    switch (value->type) {
    case SQLITE_INTEGER: sqlite3_bind_int64(statement, place, value->as.integer); break;
    case SQLITE_FLOAT: sqlite3_bind_double(statement, place, value->as.real); break;
    case SQLITE_TEXT: sqlite3_bind_text(statement, place, value->as.bytes, value->length, SQLITE_STATIC); break;
    case SQLITE_BLOB: sqlite3_bind_blob(statement, place, value->as.bytes, value->length, SQLITE_STATIC); break;
    default: sqlite3_bind_null(statement, place);
    }
}

static void perform(sqlite3_stmt *statement) {
    if (sqlite3_step(statement) != SQLITE_DONE) stop(sqlite3_sql(statement), sqlite3_errmsg(target));
    sqlite3_reset(statement);
}

/// Copies a table with its indexes to the target, and its rows into memory.
static void read_table(struct table *table, const char *name) {
    char sql[4096];
    table->name = name;
    snprintf(sql, sizeof sql,
             "SELECT sql FROM sqlite_schema WHERE tbl_name = '%s' AND sql IS NOT NULL AND type IN ('table', 'index') ORDER BY type = 'index'", name);
    sqlite3_stmt *statement = prepared(source, sql);
    int found = 0;
    while (sqlite3_step(statement) == SQLITE_ROW) {
        run(target, (const char *)sqlite3_column_text(statement, 0));
        found++;
    }
    sqlite3_finalize(statement);
    if (!found) stop(name, "is no table of the source");

    snprintf(sql, sizeof sql, "SELECT count(*) FROM \"%s\"", name);
    table->count = number_of(source, sql);
    snprintf(sql, sizeof sql, "SELECT * FROM \"%s\"", name);
    statement = prepared(source, sql);
    table->columns = sqlite3_column_count(statement);
    if (table->columns > maximum_columns) stop(name, "has too many columns");
    char names[2048] = "", marks[512] = "";
    for (int column = 0; column < table->columns; column++) {
        table->column[column] = strdup(sqlite3_column_name(statement, column));
        if (strlen(names) + strlen(table->column[column]) + 8 > sizeof names) stop(name, "has too long names");
        sprintf(names + strlen(names), "%s\"%s\"", column ? "," : "", table->column[column]);
        strcat(marks, column ? ",?" : "?");
    }
    table->values = memory(sizeof(struct value) * table->count * table->columns);
    for (int64_t row = 0; row < table->count && sqlite3_step(statement) == SQLITE_ROW; row++)
        for (int column = 0; column < table->columns; column++) table->values[row * table->columns + column] = copy_of(statement, column);
    sqlite3_finalize(statement);
    snprintf(sql, sizeof sql, "INSERT INTO \"%s\" (%s) VALUES (%s) ON CONFLICT DO NOTHING", name, names, marks);
    table->insert = prepared(target, sql);
}

static void insert(struct table *table, int64_t row) {
    for (int column = 0; column < table->columns; column++) bind(table->insert, column + 1, &table->values[row * table->columns + column]);
    perform(table->insert);
}

static void read_fold(char *spec) {
    char *name = strtok(spec, ":"), *keys = strtok(NULL, ":"), *changes = strtok(NULL, ":");
    if (!name || !keys || !changes) stop("--fold", "TABLE:KEY=ROWS.COLUMN:COLUMN[=COLUMN OF ROWS],…");
    char *link = strchr(keys, '='), *dot = link ? strchr(link, '.') : NULL;
    if (!dot) stop("--fold", "names no column of the rows");
    *link = 0;
    read_table(&fold.table, name);
    fold.key = column_named(&fold.table, keys);
    fold.link = column_named(&tables[0], dot + 1);
    char sql[4096];
    snprintf(sql, sizeof sql, "UPDATE \"%s\" SET ", name);
    for (char *change = strtok(changes, ","); change; change = strtok(NULL, ",")) {
        char *equals = strchr(change, '=');
        if (equals) *equals = 0;
        fold.column[fold.changed] = column_named(&fold.table, change);
        fold.from[fold.changed] = equals ? column_named(&tables[0], equals + 1) : -1;
        sprintf(sql + strlen(sql), "%s\"%s\" = ?", fold.changed ? ", " : "", change);
        fold.changed++;
    }
    sprintf(sql + strlen(sql), " WHERE \"%s\" = ?", keys);
    fold.update = prepared(target, sql);
    for (int64_t row = 0; row < fold.table.count; row++) {
        int64_t key = fold.table.values[row * fold.table.columns + fold.key].as.integer;
        if (key >= fold.places) fold.places = key + 1;
    }
    fold.place = memory(sizeof(int64_t) * fold.places);
    for (int64_t key = 0; key < fold.places; key++) fold.place[key] = -1;
    for (int64_t row = 0; row < fold.table.count; row++)
        fold.place[fold.table.values[row * fold.table.columns + fold.key].as.integer] = row;
    fold.stamp = memory(sizeof(int64_t) * fold.table.count);
    fold.last = memory(sizeof(int64_t) * fold.table.count);
    fold.written = memory(fold.table.count);
    has_fold = 1;
}

/// What the column of a fold is after this event.
static const struct value *folded(int64_t row, int change, int64_t event) {
    return fold.from[change] < 0 ? &fold.table.values[row * fold.table.columns + fold.column[change]]
                                 : &tables[0].values[event * tables[0].columns + fold.from[change]];
}

static void write_fold(int64_t row) {
    if (fold.written[row]) {
        for (int change = 0; change < fold.changed; change++) bind(fold.update, change + 1, folded(row, change, fold.last[row]));
        bind(fold.update, fold.changed + 1, &fold.table.values[row * fold.table.columns + fold.key]);
        return perform(fold.update);
    }
    for (int column = 0; column < fold.table.columns; column++)
        bind(fold.table.insert, column + 1, &fold.table.values[row * fold.table.columns + column]);
    for (int change = 0; change < fold.changed; change++)
        bind(fold.table.insert, fold.column[change] + 1, folded(row, change, fold.last[row]));
    perform(fold.table.insert);
    fold.written[row] = 1;
}

/// One transaction with these events; answers how long it took.
static double commit(int64_t from, int64_t to) {
    static int64_t transaction, *touched;
    static sqlite3_stmt *begin, *end;
    if (!begin) {
        begin = prepared(target, "BEGIN IMMEDIATE");
        end = prepared(target, "COMMIT");
        touched = memory(sizeof(int64_t) * (tables[0].count + 1));
    }
    double began = seconds();
    int64_t folds = 0;
    transaction++;
    perform(begin);
    for (int64_t event = from; event < to; event++) {
        insert(&tables[0], event);
        for (int other = 1; other < table_count; other++) {
            int64_t each = tables[other].count, row = event * each / tables[0].count, last = (event + 1) * each / tables[0].count;
            for (; row < last; row++) insert(&tables[other], row);
        }
        if (!has_fold) continue;
        const struct value *key = &tables[0].values[event * tables[0].columns + fold.link];
        if (key->type != SQLITE_INTEGER || key->as.integer < 0 || key->as.integer >= fold.places) continue;
        int64_t row = fold.place[key->as.integer];
        if (row < 0) continue;
        fold.last[row] = event;
        if (fold.stamp[row] == transaction) continue;
        fold.stamp[row] = transaction;
        touched[folds++] = row;
    }
    for (int64_t number = 0; number < folds; number++) write_fold(touched[number]);
    perform(end);
    return seconds() - began;
}

static int ascending(const void *one, const void *other) {
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

static double milliseconds(double *times, int64_t count, double share) {
    if (!count) return 0;
    qsort(times, count, sizeof(double), ascending);
    int64_t place = count * share;
    return 1000 * times[place < count ? place : count - 1];
}

int main(int count, char **arguments) {
    const char *from = NULL, *to = NULL, *names[maximum_tables];
    char *spec = NULL;
    int64_t size = 256;
    double rate = 0;
    for (int place = 1; place + 1 < count; place += 2) {
        const char *option = arguments[place];
        char *value = arguments[place + 1];
        if (!strcmp(option, "--source")) from = value;
        else if (!strcmp(option, "--target")) to = value;
        else if (!strcmp(option, "--fold")) spec = value;
        else if (!strcmp(option, "--transaction")) size = atoll(value);
        else if (!strcmp(option, "--rate")) rate = atof(value);
        else if (!strcmp(option, "--rows") && table_count < maximum_tables) names[table_count++] = value;
        else stop(option, "is no option here");
    }
    if (!from || !to || !table_count || size < 1) stop("usage", "rows --source FILE --target FILE --rows TABLE [--fold SPEC] [--transaction 256] [--rate R]");
    // As the gateway has it: no mutex around each allocation.
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    if (sqlite3_open_v2(from, &source, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) stop(from, sqlite3_errmsg(source));
    remove(to);
    if (sqlite3_open(to, &target) != SQLITE_OK) stop(to, sqlite3_errmsg(target));
    char sql[128];
    snprintf(sql, sizeof sql, "PRAGMA page_size = %lld", (long long)number_of(source, "PRAGMA page_size"));
    run(target, sql);
    run(target, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 20000;"
                "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 268435456");
    if (number_of(target, "PRAGMA synchronous") != 2) stop("synchronous", "is not FULL");
    for (int number = 0; number < table_count; number++) read_table(&tables[number], names[number]);
    if (spec) read_fold(spec);

    int64_t events = tables[0].count, singles = events > 4 * single_commits ? single_commits : 0, many = events - singles;
    double *times = memory(sizeof(double) * (many / size + 2)), *commits = memory(sizeof(double) * (singles + 1));
    int64_t transactions = 0;
    double cpu = cpu_seconds(), began = seconds();
    for (int64_t event = 0; event < many; event += size) {
        double early = rate ? began + event / rate - seconds() : 0;
        if (early > 0) wait_for(early);
        times[transactions++] = (early < 0 ? -early : 0) + commit(event, event + size < many ? event + size : many);
    }
    double took = seconds() - began;
    cpu = cpu_seconds() - cpu;
    for (int64_t number = 0; number < singles; number++) commits[number] = commit(many + number, many + number + 1);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM \"%s\"", tables[0].name);
    if (number_of(target, sql) != events) stop(tables[0].name, "has not as many rows as the source");
    printf("{\"events\":%lld,\"transaction\":%lld,\"seconds\":%.4f,\"eventsPerSecond\":%.1f,\"cpuMicrosPerEvent\":%.3f,"
           "\"transactionMilliseconds\":{\"p50\":%.4f,\"p99\":%.4f},\"commitMilliseconds\":{\"p50\":%.4f,\"p99\":%.4f},\"sqlite\":\"%s\"}\n",
           (long long)many, (long long)size, took, many / took, cpu * 1e6 / (many ? many : 1), milliseconds(times, transactions, .5),
           milliseconds(times, transactions, .99), milliseconds(commits, singles, .5), milliseconds(commits, singles, .99), sqlite3_libversion());
    sqlite3_close(target);
    sqlite3_close(source);
    return 0;
}
