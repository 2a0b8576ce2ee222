// Floating point held in locals: the Mandelbrot set on N by N points.
#include "bench.h"

int main(int argc, char **argv) {
  uint32_t n = size_argument(argc, argv, 1200);
  uint64_t iterations = 0;
  uint32_t inside = 0;
  for (uint32_t row = 0; row < n; row++) {
    for (uint32_t column = 0; column < n; column++) {
      double cr = 3.0 * column / n - 2.25, ci = 3.0 * row / n - 1.5;
      double zr = 0, zi = 0;
      uint32_t i = 0;
      for (; i < 100; i++) {
        double rr = zr * zr, ii = zi * zi;
        if (rr + ii > 4) break;
        zi = 2 * zr * zi + ci;
        zr = rr - ii + cr;
      }
      iterations += i;
      inside += i == 100;
    }
  }
  printf("mandelbrot %u: %u inside, %llu iterations\n", n, inside, (unsigned long long)iterations);
  return 0;
}
