// Vectors held in locals: the Mandelbrot set on N by N points, four at a time in single precision.
#include "bench.h"
#include <wasm_simd128.h>

int main(int argc, char **argv) {
  uint32_t n = size_argument(argc, argv, 2000) & ~3u;
  uint64_t iterations = 0;
  for (uint32_t row = 0; row < n; row++) {
    v128_t ci = wasm_f32x4_splat(3.0f * row / n - 1.5f);
    for (uint32_t column = 0; column < n; column += 4) {
      v128_t columns = wasm_f32x4_make(column, column + 1, column + 2, column + 3);
      v128_t cr = wasm_f32x4_sub(wasm_f32x4_mul(columns, wasm_f32x4_splat(3.0f / n)), wasm_f32x4_splat(2.25f));
      v128_t zr = wasm_f32x4_splat(0), zi = zr, count = wasm_i32x4_splat(0);
      for (uint32_t i = 0; i < 100; i++) {
        v128_t rr = wasm_f32x4_mul(zr, zr), ii = wasm_f32x4_mul(zi, zi);
        v128_t bounded = wasm_f32x4_le(wasm_f32x4_add(rr, ii), wasm_f32x4_splat(4));
        if (!wasm_v128_any_true(bounded)) break;
        count = wasm_i32x4_sub(count, bounded);
        v128_t cross = wasm_f32x4_mul(zr, zi);
        zi = wasm_f32x4_add(wasm_f32x4_add(cross, cross), ci);
        zr = wasm_f32x4_add(wasm_f32x4_sub(rr, ii), cr);
      }
      iterations += (uint32_t)wasm_i32x4_extract_lane(count, 0) + (uint32_t)wasm_i32x4_extract_lane(count, 1) +
                    (uint32_t)wasm_i32x4_extract_lane(count, 2) + (uint32_t)wasm_i32x4_extract_lane(count, 3);
    }
  }
  printf("mandelbrot-simd %u: %llu iterations\n", n, (unsigned long long)iterations);
  return 0;
}
