// Sends batches of fresh events over WebSocket as fast as they are acked, or holds idle sockets: the same frames to Parley and to the
// stock NIOWebSocket server beside it.
//
//   frames --url http://127.0.0.1:8787 --path '/v1/socket?key=pk_…' [--header 'Origin: …'] [--connections 64] [--batch 16]
//          [--in-flight 2] [--seconds 10] [--size 600] [--pid SERVER] [--rate EVENTS-A-SECOND]
//   frames --hold --connections 10000 [--touch 1] …
//
// With --rate the loop is open: batches are due in turn on all sockets, and an ack's time counts from when its batch was due, also where it
// had to wait for room; `late` counts the events of those.
// It speaks parley.v1: waits for the welcome, says hello, keeps within the credits. With --hold it opens the sockets, says hello on each,
// with --touch sends a batch of one event on each and waits for the ack, prints `ready`, and keeps them until its input ends. Prints JSON.

#include "load.h"

enum { read_room = 1 << 16, maximum_in_flight = 64, frame_head = 8 };

struct line {
    int socket, number, is_open, is_welcome;
    int64_t credits;
    uint32_t next, acked;
    int64_t due[maximum_in_flight];
    /// With a rate: batches that were due and could not be sent yet, and the turn of the first of them.
    int64_t owed, owed_turn;
    char *out, *in;
    int out_length, out_sent, received;
};

static const char *path = "/v1/socket";
static char headers[4096], remark[300];
static int connections = 64, batch = 16, size = 600, pid, in_flight = 2, hold, touch;
static double duration = 10, rate, between;
static int64_t load_began;
static int64_t acks, named, discarded, lost, welcomed, over, late;
static int poll_set;

static void watch(struct line *line, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = line};
    if (epoll_ctl(poll_set, operation, line->socket, &event)) stop("epoll", strerror(errno));
}

// ------------------------------------------------------------------------------------------------------------------ out

static char *template;
static int template_length, numbers_place, events_place, event_length;
/// Places within an event.
static int id_place, thread_place, at_place, text_place, text_length;

/// A batch of so many events, all of one length; the numbers in it have fixed places.
static void make_template(void) {
    template = memory((size_t)batch * (size + 512) + 512);
    int length = sprintf(template, "{\"type\":\"batch\",\"batch\":");
    numbers_place = length;
    length += sprintf(template + length, "%10d,\"sentAt\":%13d,\"events\":[", 0, 0);
    events_place = length;
    for (int number = 0; number < batch; number++) {
        int began = length;
        length += sprintf(template + length, "{\"type\":\"message\",\"id\":\"");
        id_place = length - began;
        length += sprintf(template + length, "%36s\",\"thread\":\"frames-", "");
        thread_place = length - began;
        length += sprintf(template + length, "%8s\",\"role\":%-11s,\"at\":", "", number % 2 ? "\"assistant\"" : "\"user\"");
        at_place = length - began;
        length += sprintf(template + length, "%13d,\"content\":\"", 0);
        text_place = length - began;
        text_length = size - text_place > 18 ? size - text_place - 2 : 16;
        length += sprintf(template + length, "%*s\"}", text_length, "");
        if (number < batch - 1) template[length++] = ',';
        event_length = length - began + (number == batch - 1);
    }
    template_length = length + sprintf(template + length, "]}");
}

static void seal(char *frame, int head, int length, int opcode) {
    uint32_t key = next_random();
    frame[0] = 0x80 | opcode;
    if (head == 8) {
        frame[1] = 0x80 | 126;
        frame[2] = length >> 8, frame[3] = length;
    } else if (head == 14) {
        frame[1] = 0x80 | 127;
        for (int place = 0; place < 8; place++) frame[2 + place] = (uint64_t)length >> (56 - 8 * place);
    } else {
        frame[1] = 0x80 | length;
    }
    memcpy(frame + head - 4, &key, 4);
    uint64_t word, wide = (uint64_t)key << 32 | key;
    char *payload = frame + head;
    int place = 0;
    for (; place + 8 <= length; place += 8) memcpy(&word, payload + place, 8), word ^= wide, memcpy(payload + place, &word, 8);
    for (; place < length; place++) payload[place] ^= ((char *)&key)[place & 3];
}

static void push(struct line *line) {
    while (line->out_sent < line->out_length) {
        ssize_t sent = send(line->socket, line->out + line->out_sent, line->out_length - line->out_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) return watch(line, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
        if (sent < 0) return;
        line->out_sent += sent;
    }
    line->out_length = line->out_sent = 0;
}

static void say(struct line *line, int opcode, const char *bytes, int length) {
    if (line->out_length) return;
    memcpy(line->out + 6, bytes, length);
    seal(line->out, 6, length, opcode);
    line->out_length = 6 + length;
    push(line);
}

static int can_send(const struct line *line) {
    return line->is_welcome && !line->out_length && line->credits >= batch && (int)(line->next - line->acked) < in_flight;
}

static void send_batch(struct line *line, int64_t due) {
    int head = template_length < 126 ? 6 : template_length < 65536 ? 8 : 14;
    char *payload = line->out + head, *event = payload + events_place;
    int64_t milliseconds = nanoseconds(CLOCK_REALTIME) / 1000000;
    memcpy(payload, template, template_length);
    write_padded(payload + numbers_place, ++line->next, 10);
    write_padded(payload + numbers_place + 20, milliseconds, 13);
    for (int number = 0; number < batch; number++, event += event_length) {
        write_uuid(event + id_place, milliseconds);
        // A question and its answer are of one thread; each line has a hundred of them.
        write_hex(event + thread_place, line->number * 100 + (line->next * batch + number) / 2 % 100, 8);
        write_padded(event + at_place, milliseconds, 13);
        write_text(event + text_place, text_length);
    }
    line->credits -= batch;
    line->due[line->next % maximum_in_flight] = due;
    seal(line->out, head, template_length, 1);
    line->out_length = head + template_length;
    push(line);
}

/// Sends as many batches as credits, window and socket allow: in a closed loop whatever there is room for, in an open one what was due,
/// whose time counts from then, so that a stall is paid for in full.
static void pump(struct line *line, int64_t now) {
    while (!rate && can_send(line) && (!over || now < over)) send_batch(line, now);
    for (; line->owed && can_send(line); line->owed--, line->owed_turn += connections) send_batch(line, load_began + (int64_t)(line->owed_turn * between));
}

// ------------------------------------------------------------------------------------------------------------------- in

static int64_t number_after(const char *bytes, int length, const char *key) {
    const char *found = memmem(bytes, length, key, strlen(key));
    return found ? atoll(found + strlen(key)) : 0;
}

static void give_up(struct line *line, const char *why, int length) {
    if (!remark[0]) snprintf(remark, sizeof remark, "%.*s", length, why);
    close(line->socket);
    line->is_open = line->is_welcome = 0;
    lost++;
}

static void message(struct line *line, const char *bytes, int length, int64_t now) {
    static const char hello[] = "{\"type\":\"hello\",\"client\":\"frames/1\",\"token\":null}";
    if (memmem(bytes, length < 40 ? length : 40, "\"welcome\"", 9)) {
        line->credits = number_after(bytes, length, "\"credits\":");
        line->is_welcome = 1;
        welcomed++;
        say(line, 1, hello, sizeof hello - 1);
    } else if (memmem(bytes, length < 40 ? length : 40, "\"ack\"", 5)) {
        line->credits += number_after(bytes, length, "\"credits\":");
        line->acked++;
        acks++;
        if (!over || now <= over + 10000000000) record(now - line->due[line->acked % maximum_in_flight]);
        // What an ack names was not stored.
        const char *at = bytes, *end = bytes + length;
        while ((at = memmem(at, end - at, "\"verdict\":\"", 11))) {
            at += 11;
            named++;
            discarded += !strncmp(at, "dropped", 7);
        }
        if (named && !remark[0]) snprintf(remark, sizeof remark, "%.*s", length < 250 ? length : 250, bytes);
    } else if (memmem(bytes, length < 40 ? length : 40, "\"credits\"", 9)) {
        line->credits += number_after(bytes, length, "\"credits\":");
    } else if (memmem(bytes, length < 40 ? length : 40, "\"error\"", 7) && !remark[0]) {
        snprintf(remark, sizeof remark, "%.*s", length < 250 ? length : 250, bytes);
    }
}

/// Takes whole frames out of what was read; 0 when the line is gone.
static int frames_of(struct line *line, int64_t now) {
    int at = 0;
    while (line->received - at >= 2) {
        unsigned char *frame = (unsigned char *)line->in + at;
        int head = 2;
        int64_t length = frame[1] & 127;
        if (length == 126) head = 4;
        if (length == 127) head = 10;
        if (line->received - at < head) break;
        if (head == 4) length = frame[2] << 8 | frame[3];
        if (head == 10) length = (int64_t)frame[6] << 24 | frame[7] << 16 | frame[8] << 8 | frame[9];
        if (head + length > read_room) return give_up(line, "a frame is too long", 19), 0;
        if (line->received - at < head + length) break;
        const char *payload = (char *)frame + head;
        int opcode = frame[0] & 15;
        if (opcode == 1) message(line, payload, length, now);
        if (opcode == 9) say(line, 10, payload, length);
        if (opcode == 8) {
            char why[160];
            int code = length >= 2 ? (unsigned char)payload[0] << 8 | (unsigned char)payload[1] : 0;
            int shown = snprintf(why, sizeof why, "closed with %d %.*s", code, length > 100 ? 100 : length > 2 ? (int)length - 2 : 0, payload + 2);
            return give_up(line, why, shown), 0;
        }
        at += head + length;
    }
    memmove(line->in, line->in + at, line->received - at);
    line->received -= at;
    return 1;
}

static void take(struct line *line) {
    while (line->is_open) {
        ssize_t got = recv(line->socket, line->in + line->received, read_room - line->received, 0);
        int64_t now = nanoseconds(CLOCK_MONOTONIC);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) return give_up(line, "the connection ended", 20);
        line->received += got;
        if (line->is_open == 1) {
            // Still HTTP.
            line->in[line->received < read_room ? line->received : read_room - 1] = 0;
            char *end = strstr(line->in, "\r\n\r\n");
            if (!end) continue;
            if (strncmp(line->in, "HTTP/1.1 101", 12)) return give_up(line, line->in, line->received > 250 ? 250 : line->received);
            int head = end + 4 - line->in;
            memmove(line->in, line->in + head, line->received - head);
            line->received -= head;
            line->is_open = 2;
        }
        if (!frames_of(line, now)) return;
        pump(line, now);
    }
}

/// Sleeps by the nanosecond: a load that watched the clock would take the core that a server of several threads may need.
static void turn(int64_t patience) {
    static struct epoll_event events[512];
    struct timespec span = {.tv_sec = patience / 1000000000, .tv_nsec = patience % 1000000000};
    int ready = epoll_pwait2(poll_set, events, 512, &span, 0);
    for (int number = 0; number < ready; number++) {
        struct line *line = events[number].data.ptr;
        if (!line->is_open) continue;
        if (events[number].events & EPOLLOUT) {
            watch(line, EPOLL_CTL_MOD, EPOLLIN);
            push(line);
            pump(line, nanoseconds(CLOCK_MONOTONIC));
        }
        if (events[number].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) take(line);
    }
}

static void open_line(struct line *line, int number) {
    char request[8192];
    line->number = number;
    line->is_open = 1;
    line->socket = connected(number);
    line->in = memory(read_room);
    line->out = memory(template_length + 512);
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: parley.v1\r\n%s\r\n",
                          path, ntohs(server.sin_port), headers);
    if (send(line->socket, request, length, MSG_NOSIGNAL) != length) stop("send", strerror(errno));
    watch(line, EPOLL_CTL_ADD, EPOLLIN);
}

int main(int count, char **arguments) {
    const char *url = "http://127.0.0.1:8787";
    for (int place = 1; place < count; place += 2) {
        const char *option = arguments[place], *value = place + 1 < count ? arguments[place + 1] : "";
        if (!strcmp(option, "--hold")) {
            hold = 1;
            place--;
        } else if (!strcmp(option, "--url")) url = value;
        else if (!strcmp(option, "--path")) path = value;
        else if (!strcmp(option, "--batch")) batch = atoi(value);
        else if (!strcmp(option, "--connections")) connections = atoi(value);
        else if (!strcmp(option, "--in-flight")) in_flight = atoi(value);
        else if (!strcmp(option, "--seconds")) duration = atof(value);
        else if (!strcmp(option, "--size")) size = atoi(value);
        else if (!strcmp(option, "--pid")) pid = atoi(value);
        else if (!strcmp(option, "--rate")) rate = atof(value);
        else if (!strcmp(option, "--touch")) touch = atoi(value);
        else if (!strcmp(option, "--header") && strlen(headers) + strlen(value) + 3 < sizeof headers) strcat(strcat(headers, value), "\r\n");
        else stop(option, "is no option here");
    }
    if (hold) batch = in_flight = 1;
    if (batch < 1 || connections < 1 || duration <= 0 || size < 200 || in_flight < 1 || in_flight >= maximum_in_flight)
        stop("usage", "frames --url URL --path PATH [--hold] …");
    state = nanoseconds(CLOCK_REALTIME);
    set_server(url);
    raise_files();
    make_tape();
    make_template();
    poll_set = epoll_create1(0);
    struct line *lines = memory(sizeof *lines * connections);
    // No batch before all are open.
    int wanted = in_flight;
    in_flight = 0;
    int64_t began = nanoseconds(CLOCK_MONOTONIC);
    for (int number = 0; number < connections; number++) {
        open_line(&lines[number], number);
        // 128: a listen queue's usual length, so that none is turned away for the crowd.
        while (number + 1 - welcomed - lost >= 128) turn(100000000);
    }
    while (welcomed + lost < connections && nanoseconds(CLOCK_MONOTONIC) - began < 60000000000) turn(100000000);
    double connecting = (nanoseconds(CLOCK_MONOTONIC) - began) / 1e9;

    if (hold) {
        if (touch) {
            in_flight = 1;
            for (int number = 0; number < connections; number++) {
                // One batch on each, and no more.
                if (can_send(&lines[number])) send_batch(&lines[number], began);
            }
            in_flight = 0;
            while (acks + lost < connections && nanoseconds(CLOCK_MONOTONIC) - began < 60000000000) turn(100000000);
        }
        printf("{\"ready\":%lld,\"lost\":%lld,\"acks\":%lld,\"connectSeconds\":%.3f,\"remark\":", (long long)welcomed, (long long)lost, (long long)acks, connecting);
        print_text(remark, strlen(remark));
        printf("}\n");
        fflush(stdout);
        struct epoll_event input = {.events = EPOLLIN | EPOLLHUP};
        struct line none = {.is_open = 0};
        input.data.ptr = &none;
        if (epoll_ctl(poll_set, EPOLL_CTL_ADD, 0, &input)) stop("input", "must be a pipe");
        char byte;
        fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
        while (read(0, &byte, 1) < 0 && errno == EAGAIN) turn(100000000);
        return 0;
    }

    in_flight = wanted;
    double server_cpu = seconds_of(pid);
    int64_t cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    began = load_began = nanoseconds(CLOCK_MONOTONIC);
    over = began + (int64_t)(duration * 1e9);
    for (int number = 0; number < connections; number++) pump(&lines[number], began);
    int64_t now, last = began, seen = 0;
    between = rate ? batch / rate * 1e9 : 0;
    int64_t due = began, turns = 0;
    while ((now = nanoseconds(CLOCK_MONOTONIC)) < over + 10000000000) {
        for (; rate && due <= now && due < over; due = began + (int64_t)(++turns * between)) {
            struct line *line = &lines[turns % connections];
            if (!line->owed++) line->owed_turn = turns;
            pump(line, now);
            if (line->owed) late++;
        }
        turn(now >= over ? 1000000 : !rate ? 20000000 : due > now ? due - now : 0);
        if (acks != seen) seen = acks, last = nanoseconds(CLOCK_MONOTONIC);
        if (now < over) continue;
        int64_t out = 0;
        for (int number = 0; number < connections; number++)
            if (lines[number].is_open) out += lines[number].next - lines[number].acked + lines[number].owed;
        if (!out) break;
    }
    double took = ((last > over ? last : over) - began) / 1e9;
    cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    server_cpu = seconds_of(pid) - server_cpu;
    qsort(times, time_count, sizeof *times, ascending);
    int64_t events = acks * batch;
    printf("{\"acks\":%lld,\"events\":%lld,\"named\":%lld,\"discarded\":%lld,\"seconds\":%.4f,\"serverCPUSeconds\":%.3f,\"eventsPerSecond\":%.1f,\"p50\":%.3f,\"p99\":%.3f,\"lost\":%lld,\"late\":%lld,"
           "\"frameBytes\":%d,\"generatorCPUMicrosPerEvent\":%.3f,\"remark\":",
           (long long)acks, (long long)events, (long long)named, (long long)discarded, took, server_cpu, events / took, percentile(.5), percentile(.99),
           (long long)lost, (long long)late * batch, template_length + frame_head, events ? cpu / 1e3 / events : 0);
    print_text(remark, strlen(remark));
    printf("}\n");
    return 0;
}
