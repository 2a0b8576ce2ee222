// Vectors from memory: dot products of 16-bit integers and of floats, N rounds.
#include "bench.h"
#include <wasm_simd128.h>

enum { LENGTH = 8192 };
static int16_t left[LENGTH], right[LENGTH];
static float weights[LENGTH], inputs[LENGTH];

static int32_t dot_integers(void) {
  v128_t sum = wasm_i32x4_splat(0);
  for (int i = 0; i < LENGTH; i += 8)
    sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_v128_load(left + i), wasm_v128_load(right + i)));
  return wasm_i32x4_extract_lane(sum, 0) + wasm_i32x4_extract_lane(sum, 1) + wasm_i32x4_extract_lane(sum, 2) +
         wasm_i32x4_extract_lane(sum, 3);
}

static float dot_floats(void) {
  v128_t sum = wasm_f32x4_splat(0);
  for (int i = 0; i < LENGTH; i += 4)
    sum = wasm_f32x4_add(sum, wasm_f32x4_mul(wasm_v128_load(weights + i), wasm_v128_load(inputs + i)));
  return wasm_f32x4_extract_lane(sum, 0) + wasm_f32x4_extract_lane(sum, 1) + wasm_f32x4_extract_lane(sum, 2) +
         wasm_f32x4_extract_lane(sum, 3);
}

int main(int argc, char **argv) {
  uint32_t n = size_argument(argc, argv, 15000), state = 1;
  for (int i = 0; i < LENGTH; i++) {
    left[i] = (int16_t)(next_random(&state) % 200 - 100);
    right[i] = (int16_t)(next_random(&state) % 200 - 100);
    weights[i] = (float)(next_random(&state) % 16);
    inputs[i] = (float)(next_random(&state) % 16);
  }
  uint32_t integers = 0, floats = 0;
  for (uint32_t round = 0; round < n; round++) {
    left[round % LENGTH] ^= 1;
    weights[round % LENGTH] = (float)(round % 16);
    integers = integers * 31 + (uint32_t)dot_integers();
    floats = floats * 31 + (uint32_t)dot_floats();
  }
  printf("dot-simd %u: %08x %08x\n", n, integers, floats);
  return 0;
}
