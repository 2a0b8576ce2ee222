// Integer loops and byte stores with a stride: primes below N by the sieve of Eratosthenes.
#include "bench.h"

int main(int argc, char **argv) {
  uint32_t n = size_argument(argc, argv, 15000000);
  uint8_t *composite = calloc(n + 1, 1);
  if (!composite) return 1;
  uint32_t count = 0;
  uint64_t sum = 0;
  for (uint32_t i = 2; i <= n; i++) {
    if (composite[i]) continue;
    count++;
    sum += i;
    for (uint64_t j = (uint64_t)i * i; j <= n; j += i) composite[(uint32_t)j] = 1;
  }
  printf("sieve %u: %u primes, sum %llu\n", n, count, (unsigned long long)sum);
  free(composite);
  return 0;
}
