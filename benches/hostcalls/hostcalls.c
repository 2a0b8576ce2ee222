// Loops of host calls, each timed by the guest's own clock: nanoseconds per call, one line a loop.
// Wants a writable directory as `.`.

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

static uint64_t now(void) {
  __wasi_timestamp_t time = 0;
  (void)__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &time);
  return time;
}

static void report(const char *name, uint64_t begin, uint64_t calls) {
  printf("%s %.1f\n", name, (double)(now() - begin) / (double)calls);
  fflush(stdout);
}

static void check(int good, const char *what) {
  if (!good) {
    fprintf(stderr, "%s failed\n", what);
    exit(1);
  }
}

int main(int argc, char **argv) {
  uint64_t calls = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000;
  static char buffer[64];
  int fd = open("hostcalls.data", O_RDWR | O_CREAT | O_TRUNC, 0644);
  check(fd >= 0, "open");

  uint64_t begin = now();
  for (uint64_t i = 0; i < calls; i++) {
    check(write(fd, buffer, sizeof buffer) == sizeof buffer, "fd_write");
    if (i % 1024 == 1023) check(lseek(fd, 0, SEEK_SET) == 0, "fd_seek");
  }
  report("fd_write", begin, calls);

  check(lseek(fd, 0, SEEK_SET) == 0, "fd_seek");
  begin = now();
  for (uint64_t i = 0; i < calls; i++) {
    check(read(fd, buffer, sizeof buffer) == sizeof buffer, "fd_read");
    if (i % 512 == 511) check(lseek(fd, 0, SEEK_SET) == 0, "fd_seek");
  }
  report("fd_read", begin, calls);

  // The preopened directory is the first descriptor after the standard streams.
  __wasi_filestat_t stat;
  begin = now();
  for (uint64_t i = 0; i < calls; i++) check(__wasi_path_filestat_get(3, 0, "hostcalls.data", &stat) == 0, "path_filestat_get");
  report("path_filestat_get", begin, calls);

  begin = now();
  for (uint64_t i = 0; i < calls; i++) {
    __wasi_fd_t opened;
    check(__wasi_path_open(3, 0, "hostcalls.data", 0, __WASI_RIGHTS_FD_READ, 0, 0, &opened) == 0, "path_open");
    check(__wasi_fd_close(opened) == 0, "fd_close");
  }
  report("path_open+fd_close", begin, calls);

  begin = now();
  uint64_t sum = 0;
  for (uint64_t i = 0; i < calls; i++) sum += now();
  report("clock_time_get", begin, calls);

  unlink("hostcalls.data");
  return sum == 0;
}
