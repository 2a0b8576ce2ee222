// Matching and copying: N kilobytes compressed with a hash-chained LZ77 of bytes and unpacked again.
#include "bench.h"

enum { WINDOW = 1 << 15, BITS = 14, LEAST = 4, MOST = 255 };
static int32_t heads[1 << BITS], links[WINDOW];

static uint32_t key(const uint8_t *p) {
  uint32_t word;
  memcpy(&word, p, 4);
  return word * 2654435761u >> (32 - BITS);
}

// A literal run is its length and bytes; a match is 0, its length and its distance in two bytes.
static uint32_t compress(const uint8_t *from, uint32_t length, uint8_t *to) {
  uint8_t *out = to;
  uint32_t literals = 0, i = 0;
  memset(heads, 0xff, sizeof heads);
  while (i <= length) {
    uint32_t best = 0, distance = 0;
    if (i + LEAST <= length) {
      uint32_t slot = key(from + i);
      int32_t candidate = heads[slot];
      for (int tries = 8; candidate >= 0 && i - (uint32_t)candidate < WINDOW && tries; tries--) {
        uint32_t n = 0, limit = length - i < MOST ? length - i : MOST;
        while (n < limit && from[(uint32_t)candidate + n] == from[i + n]) n++;
        if (n > best) best = n, distance = i - (uint32_t)candidate;
        int32_t next = links[candidate % WINDOW];
        if (next >= candidate) break;
        candidate = next;
      }
      links[i % WINDOW] = heads[slot];
      heads[slot] = (int32_t)i;
    }
    if (best >= LEAST || literals == 255 || i == length) {
      if (literals) {
        *out++ = (uint8_t)literals;
        memcpy(out, from + i - literals, literals);
        out += literals;
        literals = 0;
      }
      if (i == length) break;
    }
    if (best >= LEAST) {
      *out++ = 0, *out++ = (uint8_t)best, *out++ = (uint8_t)distance, *out++ = (uint8_t)(distance >> 8);
      i += best;
    } else {
      literals++, i++;
    }
  }
  return (uint32_t)(out - to);
}

static uint32_t unpack(const uint8_t *from, uint32_t length, uint8_t *to) {
  const uint8_t *end = from + length;
  uint8_t *out = to;
  while (from < end) {
    uint32_t n = *from++;
    if (n) {
      memcpy(out, from, n);
      out += n, from += n;
    } else {
      const uint8_t *source = out - (from[1] | (uint32_t)from[2] << 8);
      for (n = from[0]; n; n--) *out++ = *source++;
      from += 3;
    }
  }
  return (uint32_t)(out - to);
}

int main(int argc, char **argv) {
  uint32_t n = size_argument(argc, argv, 7000) * 1024, seed = 37, hash = 0;
  uint8_t *data = malloc(n), *packed = malloc(n * 2 + 16), *back = malloc(n + 255);
  if (!data || !packed || !back) return 1;
  for (uint32_t i = 0; i < n;) {
    uint32_t r = next_random(&seed);
    if (i > 1000 && r % 3) {
      uint32_t from = i - 1 - next_random(&seed) % 1000, run = 3 + r % 40;
      while (run-- && i < n) data[i++] = data[from++];
    } else {
      data[i++] = (uint8_t)(r >> 4) & 63;
    }
  }
  uint32_t size = compress(data, n, packed);
  if (unpack(packed, size, back) != n || memcmp(data, back, n) != 0) return 1;
  for (uint32_t i = 0; i < size; i++) hash = hash * 31 + packed[i];
  printf("compress %u: %u bytes, %08x\n", n, size, hash);
  return 0;
}
