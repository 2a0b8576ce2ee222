// Deep calls: Ackermann's function of 2 and 60, and Takeuchi's of 18, 12 and 6, N times each.
#include "bench.h"

// Calls stay calls: the compiler would make loops of the last ones.

__attribute__((noinline, disable_tail_calls)) static uint32_t ackermann(uint32_t m, uint32_t n) {
  if (m == 0) return n + 1;
  if (n == 0) return ackermann(m - 1, 1);
  return ackermann(m - 1, ackermann(m, n - 1));
}

__attribute__((noinline, disable_tail_calls)) static int takeuchi(int x, int y, int z) {
  if (y >= x) return z;
  return takeuchi(takeuchi(x - 1, y, z), takeuchi(y - 1, z, x), takeuchi(z - 1, x, y));
}

int main(int argc, char **argv) {
  uint32_t n = size_argument(argc, argv, 500), sum = 0;
  int last = 0;
  for (uint32_t i = 0; i < n; i++) {
    sum += ackermann(2, 60 + i % 3);
    last += takeuchi(18, 12, 6);
  }
  printf("ackermann %u: %u %d\n", n, sum, last);
  return 0;
}
