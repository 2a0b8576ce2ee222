// Integer arithmetic in 64 bits with unpredictable branches: the longest Collatz chain below N.
#include "bench.h"

int main(int argc, char **argv) {
  uint32_t n = size_argument(argc, argv, 400000);
  uint32_t best = 0, longest = 0;
  for (uint32_t start = 1; start < n; start++) {
    uint64_t value = start;
    uint32_t length = 1;
    while (value != 1) {
      value = value & 1 ? 3 * value + 1 : value >> 1;
      length++;
    }
    if (length > longest) {
      longest = length;
      best = start;
    }
  }
  printf("collatz %u: %u after %u steps\n", n, best, longest);
  return 0;
}
