// Comparisons and moves: quicksort, merge sort and the library's qsort of N numbers each.
#include "bench.h"

static void insert(int32_t *v, int low, int high) {
  for (int i = low + 1; i <= high; i++) {
    int32_t x = v[i];
    int j = i;
    for (; j > low && v[j - 1] > x; j--) v[j] = v[j - 1];
    v[j] = x;
  }
}

static void quick(int32_t *v, int low, int high) {
  while (high - low > 12) {
    int32_t pivot = v[low + (high - low) / 2];
    int i = low, j = high;
    while (i <= j) {
      while (v[i] < pivot) i++;
      while (v[j] > pivot) j--;
      if (i <= j) {
        int32_t kept = v[i];
        v[i++] = v[j];
        v[j--] = kept;
      }
    }
    quick(v, low, j);
    low = i;
  }
  insert(v, low, high);
}

static void merge(int32_t *v, int32_t *room, uint32_t n) {
  if (n < 2) return;
  uint32_t half = n / 2, i = 0, j = half, k = 0;
  merge(v, room, half);
  merge(v + half, room, n - half);
  memcpy(room, v, half * sizeof *v);
  while (i < half && j < n) v[k++] = v[j] < room[i] ? v[j++] : room[i++];
  while (i < half) v[k++] = room[i++];
}

static int compare(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

static uint32_t fill_or_check(int32_t *v, uint32_t n, uint32_t seed) {
  uint32_t hash = 0;
  for (uint32_t i = 0; i < n; i++) {
    if (seed) v[i] = (int32_t)next_random(&seed) - (1 << 23);
    else hash = hash * 31 + (uint32_t)v[i], hash += i && v[i - 1] > v[i];
  }
  return hash;
}

int main(int argc, char **argv) {
  uint32_t n = size_argument(argc, argv, 300000);
  int32_t *v = malloc(n * sizeof *v), *room = malloc(n * sizeof *room);
  if (!v || !room) return 1;
  fill_or_check(v, n, 21);
  quick(v, 0, (int)n - 1);
  uint32_t first = fill_or_check(v, n, 0);
  fill_or_check(v, n, 22);
  merge(v, room, n);
  uint32_t second = fill_or_check(v, n, 0);
  n /= 4;
  fill_or_check(v, n, 23);
  qsort(v, n, sizeof *v, compare);
  printf("sort %u: %08x %08x %08x\n", n * 4, first, second, fill_or_check(v, n, 0));
  return 0;
}
