// clockrandom [--raw]: checks that the host's clocks and randomness behave, one line `NAME: ok` per check, in
// text that is the same on every run. With --raw it prints the values themselves. Exit code 1 if a check fails.

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES 10000
#define SLEEP_NS 5000000ll
#define START_OF_2024_NS 1704067200000000000ll
#define START_OF_2200_NS 7258118400000000000ll
#define BYTES 64

static long long nanoseconds(struct timespec time) {
    return (long long)time.tv_sec * 1000000000ll + time.tv_nsec;
}

static long long now_ns(clockid_t clock) {
    struct timespec time;
    return clock_gettime(clock, &time) == 0 ? nanoseconds(time) : -1;
}

static long long resolution_ns(clockid_t clock) {
    struct timespec time;
    return clock_getres(clock, &time) == 0 ? nanoseconds(time) : -1;
}

// Many readings never go back.
static int monotonic_never_goes_back(void) {
    long long before = now_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < SAMPLES; i++) {
        long long now = now_ns(CLOCK_MONOTONIC);
        if (now < 0 || now < before)
            return 0;
        before = now;
    }
    return before >= 0;
}

// A reading differs from the first one before a second of realtime is over.
static int monotonic_ticks(void) {
    long long start = now_ns(CLOCK_MONOTONIC), realtime = now_ns(CLOCK_REALTIME);
    while (now_ns(CLOCK_MONOTONIC) == start)
        if (now_ns(CLOCK_REALTIME) - realtime > 1000000000ll)
            return 0;
    return 1;
}

static int resolutions_are_positive(void) {
    return resolution_ns(CLOCK_MONOTONIC) > 0 && resolution_ns(CLOCK_REALTIME) > 0;
}

static int realtime_is_plausible(void) {
    long long now = now_ns(CLOCK_REALTIME);
    return now > START_OF_2024_NS && now < START_OF_2200_NS;
}

// A sleep lasts at least as long as was asked for.
static int sleep_lasts(void) {
    struct timespec request = {.tv_nsec = SLEEP_NS};
    long long start = now_ns(CLOCK_MONOTONIC);
    return nanosleep(&request, NULL) == 0 && now_ns(CLOCK_MONOTONIC) - start >= SLEEP_NS;
}

// Two draws differ from each other and from zeros.
static int random_bytes_differ(void) {
    unsigned char first[BYTES] = {0}, second[BYTES] = {0}, zeros[BYTES] = {0};
    return getentropy(first, BYTES) == 0 && getentropy(second, BYTES) == 0 && memcmp(first, second, BYTES) != 0 &&
           memcmp(first, zeros, BYTES) != 0 && memcmp(second, zeros, BYTES) != 0;
}

static int print_raw(void) {
    unsigned char bytes[BYTES];
    if (getentropy(bytes, BYTES) != 0) {
        fprintf(stderr, "clockrandom: getentropy: %s\n", strerror(errno));
        return 1;
    }
    printf("realtime: %lld ns, resolution %lld ns\n", now_ns(CLOCK_REALTIME), resolution_ns(CLOCK_REALTIME));
    printf("monotonic: %lld ns, resolution %lld ns\n", now_ns(CLOCK_MONOTONIC), resolution_ns(CLOCK_MONOTONIC));
    printf("random: ");
    for (int i = 0; i < BYTES; i++)
        printf("%02x", bytes[i]);
    printf("\n");
    return 0;
}

static int check(const char *name, int held) {
    printf("%s: %s\n", name, held ? "ok" : "FAILED");
    return !held;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--raw") == 0)
        return print_raw();
    if (argc != 1) {
        fprintf(stderr, "usage: clockrandom [--raw]\n");
        return 2;
    }
    int failed = check("monotonic", monotonic_never_goes_back());
    failed |= check("ticks", monotonic_ticks());
    failed |= check("resolution", resolutions_are_positive());
    failed |= check("realtime", realtime_is_plausible());
    failed |= check("sleep", sleep_lasts());
    failed |= check("random", random_bytes_differ());
    return failed;
}
