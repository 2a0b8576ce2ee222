// Floating point on small structures: five bodies under gravity, N steps.
#include "bench.h"
#include <math.h>

enum { BODIES = 5 };
struct body { double x, y, z, vx, vy, vz, mass; };

static struct body bodies[BODIES] = {
  {0, 0, 0, 0, 0, 0, 40},
  {5, -1, -0.1, 0.6, 2.7, -0.02, 0.04},
  {8, 4, -0.4, -1.0, 1.8, 0.01, 0.011},
  {13, -15, -0.2, 1.1, 0.9, -0.01, 0.0017},
  {15, -26, 0.2, 1.0, 0.6, -0.03, 0.002},
};

static double energy(void) {
  double sum = 0;
  for (int i = 0; i < BODIES; i++) {
    struct body *a = &bodies[i];
    sum += 0.5 * a->mass * (a->vx * a->vx + a->vy * a->vy + a->vz * a->vz);
    for (int j = i + 1; j < BODIES; j++) {
      struct body *b = &bodies[j];
      double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
      sum -= a->mass * b->mass / sqrt(dx * dx + dy * dy + dz * dz);
    }
  }
  return sum;
}

static void step(double dt) {
  for (int i = 0; i < BODIES; i++) {
    struct body *a = &bodies[i];
    for (int j = i + 1; j < BODIES; j++) {
      struct body *b = &bodies[j];
      double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
      double square = dx * dx + dy * dy + dz * dz;
      double pull = dt / (square * sqrt(square));
      a->vx -= dx * b->mass * pull, a->vy -= dy * b->mass * pull, a->vz -= dz * b->mass * pull;
      b->vx += dx * a->mass * pull, b->vy += dy * a->mass * pull, b->vz += dz * a->mass * pull;
    }
  }
  for (int i = 0; i < BODIES; i++) {
    struct body *a = &bodies[i];
    a->x += dt * a->vx, a->y += dt * a->vy, a->z += dt * a->vz;
  }
}

int main(int argc, char **argv) {
  uint32_t n = size_argument(argc, argv, 500000);
  double before = energy();
  for (uint32_t i = 0; i < n; i++) step(0.001);
  printf("nbody %u: %.12f to %.12f\n", n, before, energy());
  return 0;
}
