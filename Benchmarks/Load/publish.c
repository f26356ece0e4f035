// The raw engine beside a stream's gateways: publishes messages to NATS JetStream with NATS's own client, as it is meant to be used, asynchronously,
// each with an ID that the servers tell repetitions by.
//
//   publish --url nats://127.0.0.1:4222[,…] [--replicas 1] [--bytes 10000] [--events 16] [--in-flight 128] [--shards 16] [--seconds 10]
//           [--rate MESSAGES-A-SECOND]
//
// --events is how many events a message stands for; they are counted, not sent. Without --rate the next message leaves when one of those
// in flight is acknowledged; with it, messages are due on a schedule, and an ack's time counts from when its message was due. The
// stream PUBLISH_RAW is made anew, and has at the end as many messages as were acknowledged, or the program fails. Prints JSON.

#define _GNU_SOURCE
#include <errno.h>
#include <nats/nats.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { maximum_messages = 1 << 23 };

static int64_t *due_at, *times;
static _Atomic int64_t acks, refused, last;
static const char stream_name[] = "PUBLISH_RAW";

static void stop(const char *what, const char *why) {
    fprintf(stderr, "publish: %s: %s\n", what, why);
    exit(1);
}

static void check(const char *what, natsStatus status) {
    if (status != NATS_OK) stop(what, nats_GetLastError(NULL) ? nats_GetLastError(NULL) : natsStatus_GetText(status));
}

static int64_t nanoseconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void *memory(size_t size) {
    void *room = calloc(1, size);
    if (!room) stop("memory", "there is not enough");
    return room;
}

/// Called by the client's thread for each answer; a message's first bytes are its number.
static void answered(jsCtx *context, natsMsg *message, jsPubAck *ack, jsPubAckErr *error, void *closure) {
    (void)context, (void)closure;
    int64_t now = nanoseconds(CLOCK_MONOTONIC), number;
    memcpy(&number, natsMsg_GetData(message), sizeof number);
    if (error || !ack || ack->Duplicate) {
        if (!refused++) fprintf(stderr, "publish: %s\n", error && error->ErrText ? error->ErrText : "a message was taken for one that is there");
    } else {
        times[acks++] = now - due_at[number];
        last = now;
    }
    natsMsg_Destroy(message);
}

static int ascending(const void *one, const void *other) {
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
    return (a > b) - (a < b);
}

static double percentile(double share) {
    if (!acks) return 0;
    int64_t place = acks * share;
    return times[place < acks ? place : acks - 1] / 1e6;
}

static void wait_until(int64_t moment) {
    struct timespec time = {.tv_sec = moment / 1000000000, .tv_nsec = moment % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR) {}
}

int main(int count, char **arguments) {
    const char *url = NULL;
    int64_t replicas = 1, bytes = 10000, events = 16, in_flight = 128, shards = 16;
    double seconds = 10, rate = 0;
    for (int place = 1; place + 1 < count; place += 2) {
        const char *option = arguments[place], *value = arguments[place + 1];
        if (!strcmp(option, "--url")) url = value;
        else if (!strcmp(option, "--replicas")) replicas = atoll(value);
        else if (!strcmp(option, "--bytes")) bytes = atoll(value);
        else if (!strcmp(option, "--events")) events = atoll(value);
        else if (!strcmp(option, "--in-flight")) in_flight = atoll(value);
        else if (!strcmp(option, "--shards")) shards = atoll(value);
        else if (!strcmp(option, "--seconds")) seconds = atof(value);
        else if (!strcmp(option, "--rate")) rate = atof(value);
        else stop(option, "is no option here");
    }
    if (!url || bytes < (int64_t)sizeof(int64_t) || in_flight < 1 || shards < 1 || seconds <= 0 || rate < 0)
        stop("usage", "publish --url URL [--replicas 1] [--bytes 10000] [--seconds 10] …");
    due_at = memory(sizeof(int64_t) * maximum_messages);
    times = memory(sizeof(int64_t) * maximum_messages);
    char *body = memory(bytes);
    memset(body, 'x', bytes);

    natsConnection *connection;
    jsCtx *context;
    check("connect", natsConnection_ConnectTo(&connection, url));
    jsOptions options;
    check("options", jsOptions_Init(&options));
    // With a schedule it may fall behind, and nothing holds it up: what is late counts.
    options.PublishAsync.MaxPending = rate ? maximum_messages : in_flight;
    options.PublishAsync.StallWait = 20000;
    options.PublishAsync.AckHandler = answered;
    check("context", natsConnection_JetStream(&context, connection, &options));
    jsStreamConfig stream;
    check("stream", jsStreamConfig_Init(&stream));
    const char *subjects[] = {"publish-raw.>"};
    stream.Name = stream_name;
    stream.Subjects = subjects;
    stream.SubjectsLen = 1;
    stream.Replicas = replicas;
    stream.Duplicates = 120000000000; // ns: two minutes, the servers' default and what a gateway's stream has
    js_DeleteStream(context, stream_name, NULL, NULL);
    check("stream", js_AddStream(NULL, context, &stream, NULL, NULL));

    int64_t cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID), began = nanoseconds(CLOCK_MONOTONIC), over = began + (int64_t)(seconds * 1e9), sent = 0;
    last = began;
    for (; sent < maximum_messages; sent++) {
        int64_t due = rate ? began + (int64_t)(sent / rate * 1e9) : nanoseconds(CLOCK_MONOTONIC);
        if (due >= over) break;
        if (rate && due > nanoseconds(CLOCK_MONOTONIC)) wait_until(due);
        due_at[sent] = due;
        memcpy(body, &sent, sizeof sent);
        char subject[64], id[64];
        snprintf(subject, sizeof subject, "publish-raw.%lld.1", (long long)(sent % shards));
        snprintf(id, sizeof id, "raw-%lld-%lld", (long long)began, (long long)sent);
        natsMsg *message;
        check("message", natsMsg_Create(&message, subject, NULL, body, bytes));
        jsPubOptions how;
        check("options", jsPubOptions_Init(&how));
        how.MsgId = id;
        check("publish", js_PublishMsgAsync(context, &message, &how));
    }
    jsPubOptions patience;
    check("options", jsPubOptions_Init(&patience));
    patience.MaxWait = 30000;
    check("the last answers", js_PublishAsyncComplete(context, &patience));
    // The last answer's handler may still be at work.
    for (int turn = 0; acks + refused < sent && turn < 1000; turn++) wait_until(nanoseconds(CLOCK_MONOTONIC) + 1000000);
    if (refused || acks != sent) stop("answers", "not all messages were acknowledged");
    double took = ((last > over ? last : over) - began) / 1e9;
    cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;

    jsStreamInfo *info;
    check("stream", js_GetStreamInfo(&info, context, stream_name, NULL, NULL));
    int64_t stored = info->State.Msgs;
    jsStreamInfo_Destroy(info);
    if (stored != acks) stop("stream", "it has not as many messages as were acknowledged");
    qsort(times, acks, sizeof *times, ascending);
    printf("{\"messages\":%lld,\"stored\":%lld,\"events\":%lld,\"bytes\":%lld,\"replicas\":%lld,\"seconds\":%.4f,\"messagesPerSecond\":%.1f,"
           "\"eventsPerSecond\":%.1f,\"p50\":%.3f,\"p99\":%.3f,\"generatorCPUMicrosPerMessage\":%.3f}\n",
           (long long)acks, (long long)stored, (long long)(acks * events), (long long)bytes, (long long)replicas, took, acks / took, acks * events / took,
           percentile(.5), percentile(.99), acks ? cpu / 1e3 / acks : 0);
    jsCtx_Destroy(context);
    natsConnection_Destroy(connection);
    return 0;
}
