// Indirect calls: shapes with methods in tables, and a pipeline of function pointers, N rounds.
#include "bench.h"

struct shape;
struct methods {
  uint32_t (*area)(const struct shape *);
  void (*grow)(struct shape *, uint32_t);
};
struct shape {
  const struct methods *methods;
  uint32_t width, height;
};

static uint32_t rectangle_area(const struct shape *s) { return s->width * s->height; }
static uint32_t triangle_area(const struct shape *s) { return s->width * s->height / 2; }
static uint32_t square_area(const struct shape *s) { return s->width * s->width; }
static void grow_both(struct shape *s, uint32_t by) { s->width += by, s->height += by; }
static void grow_width(struct shape *s, uint32_t by) { s->width += 2 * by; }

static const struct methods kinds[] = {
  {rectangle_area, grow_both}, {triangle_area, grow_width}, {square_area, grow_both}, {rectangle_area, grow_width},
};

typedef uint32_t (*stage)(uint32_t);
static uint32_t add(uint32_t x) { return x + 0x9e37; }
static uint32_t turn(uint32_t x) { return x << 7 | x >> 25; }
static uint32_t mix(uint32_t x) { return x ^ x >> 3; }
static uint32_t scale(uint32_t x) { return x * 5; }
static stage stages[] = {add, turn, mix, scale, turn, add, scale, mix};

int main(int argc, char **argv) {
  uint32_t n = size_argument(argc, argv, 100000), state = 3, sum = 0;
  struct shape shapes[64];
  for (int i = 0; i < 64; i++) {
    shapes[i].methods = &kinds[next_random(&state) % 4];
    shapes[i].width = next_random(&state) % 100;
    shapes[i].height = next_random(&state) % 100;
  }
  for (uint32_t round = 0; round < n; round++) {
    for (int i = 0; i < 64; i++) {
      struct shape *s = &shapes[i];
      sum += s->methods->area(s);
      s->methods->grow(s, sum & 3);
    }
    for (int i = 0; i < 8; i++) sum = stages[(i + round) % 8](sum);
  }
  printf("dispatch %u: %08x\n", n, sum);
  return 0;
}
