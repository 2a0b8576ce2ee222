// What every program here shares: its size is the first argument, its answer one line.
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline uint32_t size_argument(int argc, char **argv, uint32_t otherwise) {
  return argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : otherwise;
}

// A linear congruential generator: the same numbers everywhere.
static inline uint32_t next_random(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

#endif
