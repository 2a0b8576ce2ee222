// Rotations and additions in straight lines: SHA-256 (FIPS 180-4) of N kilobytes.
#include "bench.h"

static uint32_t constants[64], start[8];

// The standard's constants are the first 32 bits of the fractions of roots of primes: found here by integer bisection.
static uint32_t root_fraction(uint32_t prime, int cube) {
  unsigned __int128 target = (unsigned __int128)prime << (cube ? 96 : 64);
  uint64_t low = 0, high = 1ull << 37;
  while (high - low > 1) {
    uint64_t middle = low + (high - low) / 2;
    unsigned __int128 power = (unsigned __int128)middle * middle;
    if (cube) power *= middle;
    if (power <= target) low = middle;
    else high = middle;
  }
  return (uint32_t)low;
}

static void find_constants(void) {
  int found = 0;
  for (uint32_t candidate = 2; found < 64; candidate++) {
    int prime = 1;
    for (uint32_t divisor = 2; divisor * divisor <= candidate; divisor++)
      if (candidate % divisor == 0) prime = 0;
    if (!prime) continue;
    if (found < 8) start[found] = root_fraction(candidate, 0);
    constants[found++] = root_fraction(candidate, 1);
  }
}

static uint32_t rotate(uint32_t x, int by) { return x >> by | x << (32 - by); }

static void compress(uint32_t state[8], const uint8_t *block) {
  uint32_t w[64];
  for (int i = 0; i < 16; i++)
    w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
  for (int i = 16; i < 64; i++) {
    uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
    uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
  for (int i = 0; i < 64; i++) {
    uint32_t t1 = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + constants[i] + w[i];
    uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

int main(int argc, char **argv) {
  uint32_t kilobytes = size_argument(argc, argv, 7000), seed = 5;
  static uint8_t data[1024], tail[64];
  find_constants();
  uint32_t state[8];
  memcpy(state, start, sizeof state);
  for (uint32_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)next_random(&seed);
  for (uint32_t k = 0; k < kilobytes; k++)
    for (uint32_t offset = 0; offset < sizeof data; offset += 64) compress(state, data + offset);
  uint64_t bits = (uint64_t)kilobytes * 8192;
  tail[0] = 0x80;
  for (int i = 0; i < 8; i++) tail[63 - i] = (uint8_t)(bits >> 8 * i);
  compress(state, tail);
  printf("sha256 %u: ", kilobytes);
  for (int i = 0; i < 8; i++) printf("%08x", state[i]);
  printf("\n");
  return 0;
}
