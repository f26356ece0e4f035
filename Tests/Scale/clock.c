// A wall clock that is wrong by CLOCK_OFFSET seconds, for one process: preloaded, it stands before the C library's own.
//
// Clocks that only count (CLOCK_MONOTONIC, CLOCK_BOOTTIME) stay as they are: a machine whose clock is wrong has seconds as long as anybody's.
// Waits until a moment of the wall clock are waits until a moment of the wrong one.
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t offset(void) {
    static _Atomic time_t known = 0;
    static _Atomic int is_known = 0;
    if (!is_known) {
        const char *text = getenv("CLOCK_OFFSET");
        known = text ? atol(text) : 0;
        is_known = 1;
    }
    return known;
}

static int is_wall(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI; }

// What is waited for with no clock named is a time since 1970 or since the machine's start, which nobody mistakes for each other.
static clockid_t clock_of(const struct timespec *until) { return until->tv_sec > 1000000000 ? CLOCK_REALTIME : CLOCK_MONOTONIC; }

static struct timespec truly(clockid_t clock, const struct timespec *until) {
    struct timespec moved = *until;
    if (is_wall(clock)) moved.tv_sec -= offset();
    return moved;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && is_wall(clock)) now->tv_sec += offset();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *place) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (place) *place = now.tv_sec;
    return now.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
    clockid_t clock = clock_of(until);
    struct timespec moved = truly(clock, until);
    return pthread_cond_clockwait(condition, mutex, clock, &moved);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
    struct timespec moved = truly(CLOCK_REALTIME, until);
    return pthread_mutex_clocklock(mutex, CLOCK_REALTIME, &moved);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
    struct timespec moved = truly(CLOCK_REALTIME, until);
    return sem_clockwait(semaphore, CLOCK_REALTIME, &moved);
}
