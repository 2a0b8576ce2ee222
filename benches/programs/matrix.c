// Loads of floats in rows and columns: the product of two N by N matrices, one of them transposed first.
#include "bench.h"

int main(int argc, char **argv) {
  uint32_t n = size_argument(argc, argv, 400), state = 7;
  double *a = malloc(n * n * sizeof *a), *b = malloc(n * n * sizeof *b);
  double *turned = malloc(n * n * sizeof *turned), *product = malloc(n * n * sizeof *product);
  if (!a || !b || !turned || !product) return 1;
  for (uint32_t i = 0; i < n * n; i++) {
    a[i] = next_random(&state) % 100;
    b[i] = next_random(&state) % 100;
  }
  for (uint32_t row = 0; row < n; row++)
    for (uint32_t column = 0; column < n; column++) turned[column * n + row] = b[row * n + column];
  for (uint32_t row = 0; row < n; row++)
    for (uint32_t column = 0; column < n; column++) {
      double sum = 0;
      for (uint32_t k = 0; k < n; k++) sum += a[row * n + k] * turned[column * n + k];
      product[row * n + column] = sum;
    }
  double trace = 0, all = 0;
  for (uint32_t i = 0; i < n; i++) trace += product[i * n + i];
  for (uint32_t i = 0; i < n * n; i++) all += product[i];
  printf("matrix %u: trace %.0f, sum %.0f\n", n, trace, all);
  return 0;
}
