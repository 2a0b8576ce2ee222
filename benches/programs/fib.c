// Calls: the Nth Fibonacci number by recursion.
#include "bench.h"

// Without the attribute the compiler makes a loop of one of the two calls.
__attribute__((noinline, disable_tail_calls)) static uint32_t fib(uint32_t n) {
  return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

int main(int argc, char **argv) {
  uint32_t n = size_argument(argc, argv, 36);
  printf("fib %u: %u\n", n, fib(n));
  return 0;
}
