// Posts fresh events over HTTP/1.1 as fast as they are answered: the same requests to Parley and to what it is measured beside.
//
//   posts --url http://127.0.0.1:8787 --path /v1/traces --kind otlp|events [--header 'Name: value']… [--batch 1] [--connections 64]
//         [--seconds 10] [--size 600] [--pid SERVER] [--expect TEXT]
//
// Each connection is kept and has one request out. Every span and event has an ID of its own and other words; ten spans are a trace.
// Only answers with a status of 200 to 299 count, and with --expect only those that hold that text. Prints JSON.

#include "load.h"

enum { answer_room = 1 << 16, maximum_patches = 4096 };

struct line {
    int socket, number;
    char *request, *answer;
    int length, sent, received, told;
    int64_t due, resume;
    char conversation[36];
};

/// Events until a line begins another conversation, where a request has fewer.
enum { conversation_events = 10 };

static const char *path = "/v1/traces", *expected;
static char headers[4096];
static int is_otlp = 1, batch = 1, connections = 64, size = 600, pid;
static double duration = 10;
static int64_t fine, refused, reconnects, outstanding;
static char first_refusal[400], first_answer[400];

// ----------------------------------------------------------------------------------------------------------- the bodies

/// Where a body differs from the last one.
struct patch { enum { trace, span, root, began, ended, uuid, thread, at, text } what; int place, length; };
static struct patch patches[maximum_patches];
static int patch_count;
static char *body;
static int body_length;

static void patch(int what, int length) {
    if (patch_count == maximum_patches) stop("--batch", "is too many");
    patches[patch_count++] = (struct patch){what, body_length, length};
    memset(body + body_length, 'x', length);
    body_length += length;
}

static void put(const char *bytes) {
    int length = strlen(bytes);
    memcpy(body + body_length, bytes, length);
    body_length += length;
}

static void put_byte(int byte) { body[body_length++] = byte; }

/// A protobuf length in exactly three bytes, so that it can be written before its content is known.
static void set_length(int place, int length) {
    body[place] = (length & 127) | 128;
    body[place + 1] = (length >> 7 & 127) | 128;
    body[place + 2] = length >> 14 & 127;
}

static int begin(int field) {
    put_byte(field << 3 | 2);
    body_length += 3;
    return body_length;
}

static void end(int began) { set_length(began - 3, body_length - began); }

static void string_attribute(const char *key, const char *value) {
    int attribute = begin(9), inner;
    inner = begin(1), put(key), end(inner);
    int any = begin(2);
    inner = begin(1), put(value), end(inner);
    end(any), end(attribute);
}

static void number_attribute(const char *key, int value) {
    int attribute = begin(9), inner;
    inner = begin(1), put(key), end(inner);
    int any = begin(2);
    put_byte(3 << 3), put_byte(value);
    end(any), end(attribute);
}

/// A model call under the GenAI conventions.
static void make_span(int number) {
    int began_at = body_length, inner, span_field = begin(2);
    inner = begin(1), patch(trace, 16), end(inner);
    inner = begin(2), patch(number % 10 ? span : root, 8), end(inner);
    if (number % 10) inner = begin(4), patch(root, 8), end(inner);
    inner = begin(5), put("chat gpt-4o"), end(inner);
    put_byte(6 << 3), put_byte(3);
    put_byte(7 << 3 | 1), patch(began, 8);
    put_byte(8 << 3 | 1), patch(ended, 8);
    string_attribute("gen_ai.operation.name", "chat");
    string_attribute("gen_ai.provider.name", "openai");
    string_attribute("gen_ai.request.model", "gpt-4o");
    number_attribute("gen_ai.usage.input_tokens", 120);
    number_attribute("gen_ai.usage.output_tokens", 12);
    int attribute = begin(9);
    inner = begin(1), put("gen_ai.conversation.id"), end(inner);
    int any = begin(2);
    inner = begin(1), patch(thread, 36), end(inner);
    end(any), end(attribute);
    attribute = begin(9);
    inner = begin(1), put("gen_ai.input.messages"), end(inner);
    any = begin(2);
    inner = begin(1);
    put("[{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"");
    int left = size - (body_length - began_at) - 5;
    patch(text, left > 16 ? left : 16);
    put("\"}]}]"), end(inner), end(any), end(attribute), end(span_field);
}

static void make_event(int number) {
    int began_at = body_length;
    if (number) put(",");
    put("{\"type\":\"message\",\"id\":\""), patch(uuid, 36);
    put("\",\"thread\":\"posts-"), patch(thread, 36);
    put(number % 2 ? "\",\"role\":\"assistant\",\"at\":" : "\",\"role\":\"user\",\"at\":"), patch(at, 13);
    put(",\"content\":\"");
    int left = size - (body_length - began_at) - 2;
    patch(text, left > 16 ? left : 16), put("\"}");
}

static void make_body(void) {
    body = memory((size_t)batch * (size + 1024) + 1024);
    if (!is_otlp) {
        put("{\"events\":[");
        for (int number = 0; number < batch; number++) make_event(number);
        put("]}");
        return;
    }
    int resource_spans = begin(1), resource = begin(1), attribute = begin(1), inner;
    inner = begin(1), put("service.name"), end(inner);
    int any = begin(2);
    inner = begin(1), put("bench"), end(inner), end(any), end(attribute), end(resource);
    int scope_spans = begin(2), scope = begin(1);
    inner = begin(1), put("posts"), end(inner), end(scope);
    for (int number = 0; number < batch; number++) make_span(number);
    end(scope_spans), end(resource_spans);
}

/// Writes the next request: the last one with fresh IDs, times and words.
static void write_request(struct line *line) {
    char *content = line->request + line->length - body_length;
    int64_t now = nanoseconds(CLOCK_REALTIME), earlier = now - 1000000, milliseconds = now / 1000000;
    uint64_t first = 0, second = 0, root_span = 0, word;
    int spans = 0;
    if (line->told % conversation_events == 0) write_uuid(line->conversation, milliseconds);
    line->told = batch < conversation_events ? line->told + batch : 0;
    for (int number = 0; number < patch_count; number++) {
        char *to = content + patches[number].place;
        switch (patches[number].what) {
        case trace:
            if (spans++ % 10 == 0) first = next_random(), second = next_random(), root_span = next_random() | 1;
            memcpy(to, &first, 8), memcpy(to + 8, &second, 8);
            break;
        case span: word = next_random() | 1, memcpy(to, &word, 8); break;
        case root: memcpy(to, &root_span, 8); break;
        case began: memcpy(to, &earlier, 8); break;
        case ended: memcpy(to, &now, 8); break;
        case uuid: write_uuid(to, milliseconds); break;
        case thread: memcpy(to, line->conversation, 36); break;
        case at: write_padded(to, milliseconds, 13); break;
        case text: write_text(to, patches[number].length); break;
        }
    }
}

// ------------------------------------------------------------------------------------------------------------ the lines

static int poll_set;

static void watch(struct line *line, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = line};
    if (epoll_ctl(poll_set, operation, line->socket, &event)) stop("epoll", strerror(errno));
}

static void open_line(struct line *line) {
    line->socket = connected(line->number);
    watch(line, EPOLL_CTL_ADD, EPOLLIN);
}

static void push(struct line *line) {
    while (line->sent < line->length) {
        ssize_t sent = send(line->socket, line->request + line->sent, line->length - line->sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) return watch(line, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
        // What went wrong comes out when the answer is read.
        if (sent < 0) return;
        line->sent += sent;
    }
}

static void post(struct line *line) {
    write_request(line);
    line->sent = line->received = 0;
    line->resume = 0;
    line->due = nanoseconds(CLOCK_MONOTONIC);
    outstanding++;
    push(line);
}

/// The length of the answer that begins the bytes; 0 while it is not whole.
static int answer_length(struct line *line, int *status, char **content) {
    line->answer[line->received] = 0;
    char *head_end = strstr(line->answer, "\r\n\r\n");
    if (!head_end) return 0;
    int head = head_end + 4 - line->answer;
    *status = atoi(line->answer + 9);
    *content = head_end + 4;
    if (*status == 204) return head;
    char *field = strcasestr(line->answer, "\r\ncontent-length:");
    if (field && field < head_end) {
        int length = head + atoi(field + 17);
        if (length >= answer_room) stop("an answer", "is too long");
        return line->received >= length ? length : 0;
    }
    field = strcasestr(line->answer, "\r\ntransfer-encoding: chunked");
    if (field && field < head_end) {
        char *last = strstr(head_end + 2, "\r\n0\r\n\r\n");
        return last ? last + 7 - line->answer : 0;
    }
    stop("an answer", "has no length");
    return 0;
}

static void settle(struct line *line, int status, const char *content, int length) {
    outstanding--;
    int64_t now = nanoseconds(CLOCK_MONOTONIC);
    if (!first_answer[0]) snprintf(first_answer, sizeof first_answer, "%d %.*s", status, length > 300 ? 300 : length, content);
    if (status >= 200 && status < 300 && (!expected || memmem(content, length, expected, strlen(expected)))) {
        fine++;
        record(now - line->due);
    } else {
        if (!refused++) snprintf(first_refusal, sizeof first_refusal, "%d %.*s", status, length > 300 ? 300 : length, content);
        // 50 ms: enough not to hammer a server that is in trouble.
        line->resume = now + 50000000;
    }
}

/// Reads what is there; true when the line may post again.
static int take(struct line *line) {
    while (1) {
        ssize_t got = recv(line->socket, line->answer + line->received, answer_room - 1 - line->received, 0);
        if (got < 0 && errno == EAGAIN) return 0;
        if (got <= 0) {
            close(line->socket);
            if (!line->resume) outstanding--;
            if (!refused++) snprintf(first_refusal, sizeof first_refusal, "the connection ended");
            reconnects++;
            open_line(line);
            line->resume = nanoseconds(CLOCK_MONOTONIC) + 50000000;
            return 0;
        }
        line->received += got;
        int status = 0;
        char *content = NULL;
        int length = answer_length(line, &status, &content);
        if (!length) continue;
        settle(line, status, content, line->answer + length - content);
        char *field = strcasestr(line->answer, "\r\nconnection: close");
        if (field && field < content) {
            close(line->socket);
            reconnects++;
            open_line(line);
        }
        return !line->resume;
    }
}

int main(int count, char **arguments) {
    const char *url = "http://127.0.0.1:8787";
    for (int place = 1; place + 1 < count; place += 2) {
        const char *option = arguments[place], *value = arguments[place + 1];
        if (!strcmp(option, "--url")) url = value;
        else if (!strcmp(option, "--path")) path = value;
        else if (!strcmp(option, "--kind")) is_otlp = !strcmp(value, "otlp");
        else if (!strcmp(option, "--batch")) batch = atoi(value);
        else if (!strcmp(option, "--connections")) connections = atoi(value);
        else if (!strcmp(option, "--seconds")) duration = atof(value);
        else if (!strcmp(option, "--size")) size = atoi(value);
        else if (!strcmp(option, "--pid")) pid = atoi(value);
        else if (!strcmp(option, "--expect")) expected = value;
        else if (!strcmp(option, "--header") && strlen(headers) + strlen(value) + 3 < sizeof headers) strcat(strcat(headers, value), "\r\n");
        else stop(option, "is no option here");
    }
    if (batch < 1 || connections < 1 || duration <= 0 || size < 1) stop("usage", "posts --url URL --path PATH --kind otlp|events …");
    state = nanoseconds(CLOCK_REALTIME);
    set_server(url);
    raise_files();
    make_tape();
    make_body();
    poll_set = epoll_create1(0);
    struct line *lines = memory(sizeof *lines * connections);
    char head[8192];
    int head_length = snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%sContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path,
                               ntohs(server.sin_port), headers, is_otlp ? "application/x-protobuf" : "application/json", body_length);
    for (int number = 0; number < connections; number++) {
        struct line *line = &lines[number];
        line->number = number;
        line->length = head_length + body_length;
        line->request = memory(line->length);
        line->answer = memory(answer_room);
        memcpy(line->request, head, head_length);
        memcpy(line->request + head_length, body, body_length);
        open_line(line);
    }
    double server_cpu = seconds_of(pid);
    int64_t cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID), began = nanoseconds(CLOCK_MONOTONIC), over = began + (int64_t)(duration * 1e9);
    for (int number = 0; number < connections; number++) post(&lines[number]);
    struct epoll_event events[256];
    int waiting = 0;
    while (1) {
        int64_t now = nanoseconds(CLOCK_MONOTONIC);
        // What is out when the time is over has 10 s to be answered, and then counts, with the time it took.
        if (now >= over && (!outstanding || now >= over + 10000000000)) break;
        int ready = epoll_wait(poll_set, events, 256, waiting || over - now < 20000000 ? 1 : 20);
        now = nanoseconds(CLOCK_MONOTONIC);
        for (int number = 0; number < ready; number++) {
            struct line *line = events[number].data.ptr;
            if (events[number].events & EPOLLOUT) {
                watch(line, EPOLL_CTL_MOD, EPOLLIN);
                push(line);
            }
            if (events[number].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && take(line) && now < over) post(line);
        }
        waiting = 0;
        for (int number = 0; refused && number < connections; number++) {
            if (lines[number].resume && now >= lines[number].resume && now < over) post(&lines[number]);
            waiting |= lines[number].resume != 0;
        }
    }
    double took = (nanoseconds(CLOCK_MONOTONIC) - began) / 1e9;
    cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    server_cpu = seconds_of(pid) - server_cpu;
    qsort(times, time_count, sizeof *times, ascending);
    printf("{\"requests\":%lld,\"events\":%lld,\"seconds\":%.4f,\"serverCPUSeconds\":%.3f,\"eventsPerSecond\":%.1f,\"p50\":%.3f,\"p99\":%.3f,\"refused\":%lld,\"reconnects\":%lld,"
           "\"requestBytes\":%d,\"generatorCPUMicrosPerEvent\":%.3f,\"firstAnswer\":",
           (long long)fine, (long long)fine * batch, took, server_cpu, fine * batch / took, percentile(.5), percentile(.99), (long long)refused, (long long)reconnects,
           body_length, fine ? cpu / 1e3 / fine / batch : 0);
    // An answer may be binary; only what reads is shown.
    int shown = 0;
    while (first_answer[shown] && (unsigned char)first_answer[shown] < 127) shown++;
    print_text(first_answer, shown);
    printf(",\"firstRefusal\":");
    shown = 0;
    while (first_refusal[shown] && (unsigned char)first_refusal[shown] < 127) shown++;
    print_text(first_refusal, shown);
    printf("}\n");
    return 0;
}
