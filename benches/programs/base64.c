// Bytes in and out: N kilobytes encoded as base64 and decoded again.
#include "bench.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static uint32_t encode(const uint8_t *from, uint32_t length, char *to) {
  char *start = to;
  for (; length >= 3; from += 3, length -= 3) {
    uint32_t bits = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
    *to++ = digits[bits >> 18];
    *to++ = digits[bits >> 12 & 63];
    *to++ = digits[bits >> 6 & 63];
    *to++ = digits[bits & 63];
  }
  return (uint32_t)(to - start);
}

static uint32_t decode(const char *from, uint32_t length, uint8_t *to) {
  static uint8_t values[256];
  for (uint8_t i = 0; i < 64; i++) values[(uint8_t)digits[i]] = i;
  uint8_t *start = to;
  for (; length >= 4; from += 4, length -= 4) {
    uint32_t bits = 0;
    for (int i = 0; i < 4; i++) bits = bits << 6 | values[(uint8_t)from[i]];
    *to++ = (uint8_t)(bits >> 16);
    *to++ = (uint8_t)(bits >> 8);
    *to++ = (uint8_t)bits;
  }
  return (uint32_t)(to - start);
}

int main(int argc, char **argv) {
  enum { LENGTH = 48 * 1024 };
  static uint8_t data[LENGTH], back[LENGTH];
  static char text[LENGTH / 3 * 4];
  uint32_t n = size_argument(argc, argv, 17000), seed = 31, hash = 0;
  for (uint32_t i = 0; i < LENGTH; i++) data[i] = (uint8_t)next_random(&seed);
  for (uint32_t round = 0; round < n / 48; round++) {
    uint32_t length = encode(data, LENGTH, text);
    if (decode(text, length, back) != LENGTH || memcmp(data, back, LENGTH) != 0) return 1;
    hash = hash * 31 + (uint8_t)text[round];
    data[round] ^= (uint8_t)hash;
  }
  printf("base64 %u: %08x\n", n, hash);
  return 0;
}
