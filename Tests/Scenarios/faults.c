// Faults between a process and its disk, put in front of the C library with LD_PRELOAD.
//
// It knows three kinds of descriptors: the write-ahead log (a path that ends in -wal), the database (in .sqlite), and
// sockets. A control file, mapped into memory and shared with the test, says what to do at which call:
//
//   - end the process, right before or right after the Nth call of a kind
//   - let calls fail with an error number, the Nth and so many after it, or all until it is told otherwise
//   - wait so long before each call
//   - cut the power: everything written and not yet synced is taken back, then the process ends
//
// For the last, what a write replaces is kept until a sync of that file has returned. So what is left is what a disk
// that lost its cache would hold: nothing of what no fsync has vouched for.
//
// Build: cc -shared -fPIC -O1 -pthread faults.c -o faults.so -ldl

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

// The kinds of calls, as bits of `calls`. The test has the same list.
enum { WAL_SYNC = 1, WAL_WRITE = 2, DB_SYNC = 4, DB_WRITE = 8, SOCKET_WRITE = 16, WAL_TRUNCATE = 32 };
enum { BEFORE = 0, AFTER = 1 };
enum { KILL = 0, FAIL = 1, POWER = 2, WAIT = 3 };

// The control file. Only the process counts; only the test sets the rest, `armed` last.
struct control {
    volatile int32_t armed;
    volatile int32_t calls;
    volatile int32_t moment;
    volatile int32_t first;   // the Nth call since it was armed, from 1
    volatile int32_t times;   // how many calls from there; negative: all
    volatile int32_t action;
    volatile int32_t number;  // of the error, or milliseconds
    volatile int32_t seen;
    volatile int32_t fired;
    volatile int32_t power;   // 1: cut the power at the next call of any kind; -1: it is never cut, so no history is kept
    volatile int32_t counts[8];
    volatile int32_t taken;   // writes taken back by the last cut
    volatile int32_t deaf;    // not 0: syncs vouch for nothing, as with a store that does not sync; to see that a test notices
};

static struct control *control;

// Calls go on beside each other; a cut of power waits for those under way and lets no other begin.
static pthread_rwlock_t gate = PTHREAD_RWLOCK_INITIALIZER;

#define REAL(result, name, ...)                                                            \
    static result (*real_##name)(__VA_ARGS__);                                             \
    static void find_##name(void) {                                                        \
        if (!real_##name) real_##name = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name);   \
    }

REAL(int, fdatasync, int)
REAL(int, fsync, int)
REAL(ssize_t, pwrite64, int, const void *, size_t, off_t)
REAL(ssize_t, pwrite, int, const void *, size_t, off_t)
REAL(ssize_t, write, int, const void *, size_t)
REAL(ssize_t, writev, int, const struct iovec *, int)
REAL(ssize_t, sendmsg, int, const struct msghdr *, int)
REAL(ssize_t, send, int, const void *, size_t, int)
REAL(int, ftruncate64, int, off_t)
REAL(int, ftruncate, int, off_t)

__attribute__((constructor)) static void begin(void) {
    find_fdatasync();
    find_fsync();
    find_pwrite64();
    find_pwrite();
    find_write();
    find_writev();
    find_sendmsg();
    find_send();
    find_ftruncate64();
    find_ftruncate();
    const char *path = getenv("FAULTS_CONTROL");
    if (!path) return;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *found = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (found != MAP_FAILED) control = found;
}

static int is_wal(int fd, int *is_database) {
    char link[64], path[PATH_MAX];
    *is_database = 0;
    char *place = link + sizeof link;
    *--place = 0;
    unsigned left = (unsigned)fd;
    do *--place = (char)('0' + left % 10);
    while (left /= 10);
    const char *folder = "/proc/self/fd/";
    place -= strlen(folder);
    memcpy(place, folder, strlen(folder));
    ssize_t length = readlink(place, path, sizeof path - 1);
    if (length <= 7) return 0;
    path[length] = 0;
    if (!strcmp(path + length - 4, "-wal")) return 1;
    *is_database = !strcmp(path + length - 7, ".sqlite");
    return 0;
}

static int is_socket(int fd) {
    struct stat found;
    return fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode);
}

// ---------------------------------------------------------------------------------- what the disk would have lost

struct undo {
    dev_t device;
    ino_t file;
    off_t offset, size;  // where it wrote, and how long the file was
    size_t length;       // of what was there before
    uint64_t turn;       // of all writes
    struct undo *next;
    char before[];
};

static pthread_mutex_t history_lock = PTHREAD_MUTEX_INITIALIZER;
static struct undo *history;  // the latest first
static uint64_t turns;

static void note(int fd, off_t offset, size_t length) {
    struct stat found;
    if (control->power < 0 || fstat(fd, &found) != 0) return;
    size_t kept = offset >= found.st_size ? 0 : found.st_size - offset < (off_t)length ? (size_t)(found.st_size - offset) : length;
    struct undo *entry = malloc(sizeof *entry + kept);
    if (!entry) return;
    *entry = (struct undo){found.st_dev, found.st_ino, offset, found.st_size, kept, 0, NULL};
    if (kept && pread(fd, entry->before, kept, offset) != (ssize_t)kept) entry->length = 0;
    pthread_mutex_lock(&history_lock);
    entry->turn = ++turns;
    entry->next = history;
    history = entry;
    pthread_mutex_unlock(&history_lock);
}

// What was written up to here is on the disk, once the sync has returned.
static uint64_t before_sync(void) {
    pthread_mutex_lock(&history_lock);
    uint64_t turn = turns;
    pthread_mutex_unlock(&history_lock);
    return turn;
}

static void synced(int fd, uint64_t turn) {
    struct stat found;
    if (control->deaf || fstat(fd, &found) != 0) return;
    pthread_mutex_lock(&history_lock);
    for (struct undo **place = &history; *place;) {
        struct undo *entry = *place;
        if (entry->turn <= turn && entry->device == found.st_dev && entry->file == found.st_ino) {
            *place = entry->next;
            free(entry);
        } else {
            place = &entry->next;
        }
    }
    pthread_mutex_unlock(&history_lock);
}

static void cut_power(void) {
    pthread_rwlock_wrlock(&gate);
    int taken = 0;
    for (struct undo *entry = history; entry; entry = entry->next) {
        // Any descriptor of that file will do.
        for (int fd = 3; fd < 4096; fd++) {
            struct stat found;
            if (fstat(fd, &found) != 0 || found.st_dev != entry->device || found.st_ino != entry->file) continue;
            int flags = fcntl(fd, F_GETFL);
            if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) continue;
            if (entry->length && real_pwrite64(fd, entry->before, entry->length, entry->offset) < 0) continue;
            if (real_ftruncate64(fd, entry->size) < 0) continue;
            taken++;
            break;
        }
    }
    control->taken = taken;
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

// ----------------------------------------------------------------------------------------------- what happens when

static int place_of(int call) {
    int place = 0;
    while (call >>= 1) place++;
    return place;
}

// Whether this call is one that something happens at; the number of an error in `error`, 0 for none.
static int due(int call, int moment) {
    return control->armed && (control->calls & call) && control->moment == moment;
}

static void act(int *error) {
    int32_t turn = __atomic_add_fetch(&control->seen, 1, __ATOMIC_SEQ_CST);
    if (turn < control->first || (control->times >= 0 && turn >= control->first + control->times)) return;
    __atomic_add_fetch(&control->fired, 1, __ATOMIC_SEQ_CST);
    switch (control->action) {
    case KILL:
        kill(getpid(), SIGKILL);
        for (;;) pause();
    case POWER:
        control->power = 1;
        return;
    case FAIL:
        *error = control->number;
        return;
    case WAIT: {
        struct timespec span = {control->number / 1000, control->number % 1000 * 1000000L};
        nanosleep(&span, NULL);
    }
    }
}

// Before a call: nonzero if it fails instead.
static int enter(int call) {
    if (!control || !call) return 0;
    if (control->power > 0) cut_power();
    __atomic_add_fetch(&control->counts[place_of(call)], 1, __ATOMIC_SEQ_CST);
    int error = 0;
    if (due(call, BEFORE)) act(&error);
    if (control->power > 0) cut_power();
    pthread_rwlock_rdlock(&gate);
    return error;
}

static void leave(int call) {
    if (!control || !call) return;
    pthread_rwlock_unlock(&gate);
    int error = 0;
    int saved = errno;
    if (due(call, AFTER)) act(&error);
    if (control->power > 0) cut_power();
    errno = saved;
}

#define WITH_FAULTS(call, result, ...)                  \
    do {                                                \
        int error = enter(call);                        \
        if (error) {                                    \
            leave(call);                                \
            errno = error;                              \
            return -1;                                  \
        }                                               \
        __VA_ARGS__;                                    \
        leave(call);                                    \
        return result;                                  \
    } while (0)

static int sync_call(int fd) {
    int is_database, wal = control ? is_wal(fd, &is_database) : 0;
    return !control ? 0 : wal ? WAL_SYNC : is_database ? DB_SYNC : 0;
}

static int write_call(int fd) {
    int is_database, wal = control ? is_wal(fd, &is_database) : 0;
    return !control ? 0 : wal ? WAL_WRITE : is_database ? DB_WRITE : 0;
}

int fdatasync(int fd) {
    find_fdatasync();
    int call = sync_call(fd);
    uint64_t turn = call ? before_sync() : 0;
    WITH_FAULTS(call, done, int done = real_fdatasync(fd); if (call && done == 0) synced(fd, turn));
}

int fsync(int fd) {
    find_fsync();
    int call = sync_call(fd);
    uint64_t turn = call ? before_sync() : 0;
    WITH_FAULTS(call, done, int done = real_fsync(fd); if (call && done == 0) synced(fd, turn));
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) {
    find_pwrite64();
    int call = write_call(fd);
    WITH_FAULTS(call, done, if (call) note(fd, offset, length); ssize_t done = real_pwrite64(fd, data, length, offset));
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    find_pwrite();
    int call = write_call(fd);
    WITH_FAULTS(call, done, if (call) note(fd, offset, length); ssize_t done = real_pwrite(fd, data, length, offset));
}

int ftruncate64(int fd, off_t length) {
    find_ftruncate64();
    int call = write_call(fd) == WAL_WRITE ? WAL_TRUNCATE : write_call(fd);
    struct stat found;
    WITH_FAULTS(
        call, done, if (call && fstat(fd, &found) == 0 && found.st_size > length) note(fd, length, (size_t)(found.st_size - length));
        int done = real_ftruncate64(fd, length));
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

ssize_t write(int fd, const void *data, size_t length) {
    find_write();
    int call = control && is_socket(fd) ? SOCKET_WRITE : 0;
    WITH_FAULTS(call, done, ssize_t done = real_write(fd, data, length));
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    find_writev();
    int call = control && is_socket(fd) ? SOCKET_WRITE : 0;
    WITH_FAULTS(call, done, ssize_t done = real_writev(fd, pieces, count));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    find_sendmsg();
    int call = control && is_socket(fd) ? SOCKET_WRITE : 0;
    WITH_FAULTS(call, done, ssize_t done = real_sendmsg(fd, message, flags));
}

ssize_t send(int fd, const void *data, size_t length, int flags) {
    find_send();
    int call = control && is_socket(fd) ? SOCKET_WRITE : 0;
    WITH_FAULTS(call, done, ssize_t done = real_send(fd, data, length, flags));
}
