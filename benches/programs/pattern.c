// Backtracking on strings: a matcher of patterns with . [a-z] * + ? ^ and $ over generated lines, N of them.
#include "bench.h"

static int match_here(const char *pattern, const char *text);

static const char *after_atom(const char *p) {
  if (*p == '[') {
    while (*p != ']') p++;
    return p + 1;
  }
  return p + 1;
}

static int match_atom(const char *p, char c) {
  if (!c) return 0;
  if (*p == '.') return 1;
  if (*p != '[') return *p == c;
  for (p++; *p != ']'; p++) {
    if (p[1] == '-' && p[2] != ']') {
      if (c >= p[0] && c <= p[2]) return 1;
      p += 2;
    } else if (*p == c) return 1;
  }
  return 0;
}

static int match_repeat(const char *atom, const char *rest, const char *text, int least, int most) {
  int n = 0;
  while (n < most && match_atom(atom, text[n])) n++;
  for (; n >= least; n--)
    if (match_here(rest, text + n)) return 1;
  return 0;
}

static int match_here(const char *p, const char *text) {
  while (*p) {
    if (*p == '$' && !p[1]) return !*text;
    const char *next = after_atom(p);
    switch (*next) {
      case '*': return match_repeat(p, next + 1, text, 0, 1 << 20);
      case '+': return match_repeat(p, next + 1, text, 1, 1 << 20);
      case '?': return match_repeat(p, next + 1, text, 0, 1);
    }
    if (!match_atom(p, *text)) return 0;
    p = next, text++;
  }
  return 1;
}

static int match(const char *p, const char *text) {
  if (*p == '^') return match_here(p + 1, text);
  do
    if (match_here(p, text)) return 1;
  while (*text++);
  return 0;
}

int main(int argc, char **argv) {
  static const char *patterns[] = {"[a-f]+[0-9]+x", "^.*q.*z$", "ab*c+d?e", "[0-9][0-9]*[.][0-9]+$", "a.*b.*c.*9"};
  static const char alphabet[] = "abcdefqxz0189.   ";
  uint32_t n = size_argument(argc, argv, 25000), seed = 29, counts[5] = {0};
  char line[61];
  for (uint32_t i = 0; i < n; i++) {
    uint32_t length = 20 + next_random(&seed) % 40;
    for (uint32_t j = 0; j < length; j++) line[j] = alphabet[next_random(&seed) % (sizeof alphabet - 1)];
    line[length] = 0;
    for (int p = 0; p < 5; p++) counts[p] += (uint32_t)match(patterns[p], line);
  }
  printf("pattern %u: %u %u %u %u %u\n", n, counts[0], counts[1], counts[2], counts[3], counts[4]);
  return 0;
}
