/* ThreadSanitizer learns of Swift's `Mutex`.

   On Linux `Synchronization.Mutex` is a futex of the Swift runtime's own. Its way for threads that have to wait lies in
   libswiftSynchronization.so, which isn't instrumented, so that ThreadSanitizer sees no order between the threads that pass it and
   reports all they do under the lock. Loaded before that library (LD_PRELOAD), these two stand in front of the functions that wait and
   wake, do what they did, and say so by `__tsan_acquire` and `__tsan_release` (LLVM, tsan_interface.h). `scripts/sanitize thread` builds
   and loads it; without it each report about a `Mutex` is worth nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

/* Swift passes `self` in a register of its own. */
#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *self

typedef SWIFT void (*locking)(uint32_t, SELF);
typedef SWIFT void (*unlocking)(SELF);

static void (*acquire)(void *), (*release)(void *);
static locking waits;
static unlocking wakes;

__attribute__((constructor)) static void begin(void) {
    acquire = (void (*)(void *))dlsym(RTLD_DEFAULT, "__tsan_acquire");
    release = (void (*)(void *))dlsym(RTLD_DEFAULT, "__tsan_release");
    waits = (locking)dlsym(RTLD_NEXT, LOCK);
    wakes = (unlocking)dlsym(RTLD_NEXT, UNLOCK);
}

static void missing(void) {
    fputs("This Swift's Mutex has other functions than Tests/Sanitizers/mutex.c stands in front of.\n", stderr);
    abort();
}

SWIFT void lock_slow(uint32_t state, SELF) __asm__(LOCK);
SWIFT void lock_slow(uint32_t state, SELF) {
    if (!waits) missing();
    waits(state, self);
    if (acquire) acquire(self);
}

SWIFT void unlock_slow(SELF) __asm__(UNLOCK);
SWIFT void unlock_slow(SELF) {
    if (!wakes) missing();
    if (release) release(self);
    wakes(self);
}
