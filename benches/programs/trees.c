// Allocation: binary trees built, walked and freed, up to depth N.
#include "bench.h"

struct tree { struct tree *left, *right; };

static struct tree *grow(uint32_t depth) {
  struct tree *tree = malloc(sizeof *tree);
  if (!tree) abort();
  tree->left = depth ? grow(depth - 1) : NULL;
  tree->right = depth ? grow(depth - 1) : NULL;
  return tree;
}

static uint32_t count(const struct tree *tree) {
  return tree->left ? 1 + count(tree->left) + count(tree->right) : 1;
}

static void fell(struct tree *tree) {
  if (tree->left) fell(tree->left), fell(tree->right);
  free(tree);
}

int main(int argc, char **argv) {
  uint32_t n = size_argument(argc, argv, 16), total = 0;
  struct tree *lasting = grow(n);
  for (uint32_t depth = 4; depth <= n; depth += 3) {
    for (uint32_t i = 0; i < 1u << (n - depth + 2); i++) {
      struct tree *tree = grow(depth);
      total += count(tree);
      fell(tree);
    }
  }
  printf("trees %u: %u and %u nodes\n", n, total, count(lasting));
  fell(lasting);
  return 0;
}
