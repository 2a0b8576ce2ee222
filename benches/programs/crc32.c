// Table look-ups and wide multiplications: CRC-32 and a multiplying 64-bit hash of N kilobytes.
#include "bench.h"

static uint32_t table[256];
static uint8_t data[65536];

static uint32_t crc(uint32_t crc, const uint8_t *p, uint32_t length) {
  for (crc = ~crc; length--; p++) crc = table[(crc ^ *p) & 255] ^ crc >> 8;
  return ~crc;
}

static uint64_t hash(uint64_t h, const uint8_t *p, uint32_t length) {
  for (; length >= 8; p += 8, length -= 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    h = (h ^ word) * 0x9e3779b97f4a7c15ull;
    h ^= h >> 29;
    h = h << 31 | h >> 33;
  }
  return h ^ h >> 32;
}

int main(int argc, char **argv) {
  uint32_t rounds = size_argument(argc, argv, 28000) / 64, seed = 9, sum = 0;
  uint64_t mixed = 1;
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t entry = i;
    for (int bit = 0; bit < 8; bit++) entry = entry & 1 ? entry >> 1 ^ 0xedb88320u : entry >> 1;
    table[i] = entry;
  }
  for (uint32_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)next_random(&seed);
  for (uint32_t i = 0; i < rounds; i++) {
    sum = crc(sum, data, sizeof data);
    for (int j = 0; j < 4; j++) mixed = hash(mixed + j, data, sizeof data);
  }
  printf("crc32 %u: %08x %016llx\n", rounds * 64, sum, (unsigned long long)mixed);
  return 0;
}
