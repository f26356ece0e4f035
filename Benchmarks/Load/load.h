// What posts.c and frames.c share: time, randomness, text, latencies, processes, addresses.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void stop(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void *memory(size_t size) {
    void *room = calloc(1, size ? size : 1);
    if (!room) stop("memory", "there is not enough");
    return room;
}

// ---------------------------------------------------------------------------------------------------- time, randomness

static int64_t nanoseconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static uint64_t state;

/// SplitMix64: every ID of a run differs, and from those of any other run, since the seed is the time in nanoseconds.
static uint64_t next_random(void) {
    uint64_t word = state += 0x9E3779B97F4A7C15;
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9;
    word = (word ^ word >> 27) * 0x94D049BB133111EB;
    return word ^ word >> 31;
}

static void write_hex(char *to, uint64_t word, int digits) {
    for (int place = digits - 1; place >= 0; place--, word >>= 4) to[place] = "0123456789abcdef"[word & 15];
}

/// A UUIDv7's 36 characters: the time in front, so that IDs rise as real ones do.
static void write_uuid(char *to, int64_t milliseconds) {
    uint64_t one = next_random(), other = next_random();
    write_hex(to, milliseconds >> 16, 8);
    to[8] = '-';
    write_hex(to + 9, milliseconds & 0xFFFF, 4);
    to[13] = '-';
    write_hex(to + 14, 0x7000 | (one & 0xFFF), 4);
    to[18] = '-';
    write_hex(to + 19, 0x8000 | (one >> 12 & 0x3FFF), 4);
    to[23] = '-';
    write_hex(to + 24, other, 12);
}

/// A number in exactly so many places, with spaces before it; JSON allows them there.
static void write_padded(char *to, uint64_t number, int places) {
    for (int place = places - 1; place >= 0; place--, number /= 10) to[place] = number || place == places - 1 ? '0' + number % 10 : ' ';
}

// ---------------------------------------------------------------------------------------------------------------- text

enum { tape_length = 1 << 20 };
static char tape[tape_length];

static void make_tape(void) {
    static const char *words[] = {"the", "order", "left", "our", "warehouse", "this", "morning", "and", "should", "be", "with", "you", "on", "friday",
                                  "where", "is", "my", "parcel", "refund", "invoice", "thanks", "hello", "please", "cancel", "subscription", "a",
                                  "of", "in", "it", "was", "broken", "screen", "number", "address", "change", "tomorrow", "great", "still", "waiting"};
    for (int length = 0; length < tape_length;) {
        const char *word = words[next_random() % (sizeof words / sizeof *words)];
        for (; *word && length < tape_length; word++) tape[length++] = *word;
        if (length < tape_length) tape[length++] = ' ';
    }
}

static void write_text(char *to, int length) { memcpy(to, tape + next_random() % (tape_length - length), length); }

// ----------------------------------------------------------------------------------------------------------- latencies

static uint32_t *times;
static size_t time_count, time_room;

static void record(int64_t nanos) {
    if (time_count == time_room) {
        time_room = time_room ? 2 * time_room : 1 << 16;
        if (!(times = realloc(times, time_room * sizeof *times))) stop("memory", "there is not enough");
    }
    times[time_count++] = nanos / 1000 > UINT32_MAX ? UINT32_MAX : nanos / 1000;
}

static int ascending(const void *one, const void *other) {
    uint32_t first = *(const uint32_t *)one, second = *(const uint32_t *)other;
    return (first > second) - (first < second);
}

/// Milliseconds; the times must be sorted.
static double percentile(double share) {
    size_t place = time_count * share;
    return time_count ? times[place < time_count ? place : time_count - 1] / 1000.0 : 0;
}

// ----------------------------------------------------------------------------------------------------------- processes

/// Processor seconds of a process, user and system, as the kernel counts them (proc(5)); 0 without one.
static double seconds_of(int pid) {
    char path[64], line[1024];
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = pid ? fopen(path, "r") : NULL;
    if (!file) return 0;
    size_t length = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[length] = 0;
    // The name stands in parentheses and may hold anything.
    char *fields = strrchr(line, ')');
    if (!fields || sscanf(fields, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2) return 0;
    return (double)(user + kernel) / sysconf(_SC_CLK_TCK);
}

// ----------------------------------------------------------------------------------------------------------- addresses

static struct sockaddr_in server = {.sin_family = AF_INET};

/// HOST:PORT, after http:// or without it.
static void set_server(const char *url) {
    if (!strncmp(url, "http://", 7)) url += 7;
    char host[64];
    int port = 0;
    if (sscanf(url, "%63[0-9.]:%d", host, &port) != 2 || inet_pton(AF_INET, host, &server.sin_addr) != 1) stop(url, "is no address like http://127.0.0.1:8787");
    server.sin_port = htons(port);
    // What this sends is a flood: never to another machine.
    if ((ntohl(server.sin_addr.s_addr) >> 24) != 127) stop(url, "is not on the loopback interface");
}

/// A connected socket that does not block. Sources 127.0.0.2 to .101 in turn: one address has some 28,000 ports, and a gateway does not
/// take any number of sockets from one.
static int connected(int number) {
    int line = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (line < 0) stop("socket", strerror(errno));
    setsockopt(line, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(line, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7F000002 + number % 100)};
    if (bind(line, (struct sockaddr *)&own, sizeof own)) stop("bind", strerror(errno));
    if (connect(line, (struct sockaddr *)&server, sizeof server)) stop("connect", strerror(errno));
    fcntl(line, F_SETFL, fcntl(line, F_GETFL) | O_NONBLOCK);
    return line;
}

static void raise_files(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/// `bytes` without quotes and control characters, for a string of JSON.
static void print_text(const char *bytes, int length) {
    putchar('"');
    for (int place = 0; place < length; place++) putchar(bytes[place] == '"' || bytes[place] == '\\' || (unsigned char)bytes[place] < 32 ? ' ' : bytes[place]);
    putchar('"');
}
