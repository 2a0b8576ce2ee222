// Memory in bulk and word by word: fill, copy, scale and move over 4 MiB, N rounds.
#include "bench.h"

enum { WORDS = 1 << 19 };
static uint64_t from[WORDS], to[WORDS];

int main(int argc, char **argv) {
  uint32_t n = size_argument(argc, argv, 36);
  uint64_t sum = 0;
  for (uint32_t round = 1; round <= n; round++) {
    memset(from, (int)round, sizeof from);
    for (uint32_t i = 0; i < WORDS; i++) from[i] += i;
    memcpy(to, from, sizeof to);
    memmove(to + 1, to, sizeof to - sizeof *to);
    for (uint32_t i = 0; i < WORDS; i++) to[i] = to[i] * 3 + from[i];
    for (uint32_t i = 0; i < WORDS; i++) sum = (sum ^ to[i]) + (sum << 5 | sum >> 59);
  }
  printf("stream %u: %016llx\n", n, (unsigned long long)sum);
  return 0;
}
