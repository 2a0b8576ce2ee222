// Strings: counts the words of generated text in a hash table and looks for substrings, N kilobytes.
#include "bench.h"
#include <ctype.h>

enum { BUCKETS = 4096 };
struct entry { struct entry *next; uint32_t count; char word[]; };
static struct entry *buckets[BUCKETS];

static void tally(const char *word, uint32_t length) {
  uint32_t hash = 2166136261u;
  for (uint32_t i = 0; i < length; i++) hash = (hash ^ (uint8_t)word[i]) * 16777619u;
  struct entry **place = &buckets[hash % BUCKETS];
  for (struct entry *e = *place; e; e = e->next)
    if (strncmp(e->word, word, length) == 0 && e->word[length] == 0) {
      e->count++;
      return;
    }
  struct entry *e = malloc(sizeof *e + length + 1);
  if (!e) abort();
  memcpy(e->word, word, length);
  e->word[length] = 0;
  e->count = 1;
  e->next = *place;
  *place = e;
}

int main(int argc, char **argv) {
  uint32_t n = size_argument(argc, argv, 2000) * 1024, seed = 17;
  static const char syllables[] = "kalimoruneTasipodefu";
  char *text = malloc(n + 1);
  if (!text) return 1;
  for (uint32_t i = 0; i < n; i += 2) {
    uint32_t r = next_random(&seed);
    uint32_t s = r % 10 * 2;
    int space = (r >> 8) % 3 == 0;
    text[i] = space ? ((r >> 12) % 9 ? ' ' : '\n') : syllables[s];
    if (i + 1 < n) text[i + 1] = space ? syllables[s] : syllables[s + 1];
  }
  text[n] = 0;
  uint32_t words = 0, lines = 0;
  for (uint32_t i = 0; i < n;) {
    while (i < n && isspace((uint8_t)text[i])) lines += text[i++] == '\n';
    uint32_t start = i;
    while (i < n && !isspace((uint8_t)text[i])) {
      text[i] = (char)tolower((uint8_t)text[i]);
      i++;
    }
    if (i > start) tally(text + start, i - start), words++;
  }
  uint32_t distinct = 0, most = 0;
  for (uint32_t i = 0; i < BUCKETS; i++)
    for (struct entry *e = buckets[i]; e; e = e->next) distinct++, most = e->count > most ? e->count : most;
  uint32_t found = 0;
  for (const char *p = text; (p = strstr(p, "kalimo")); p++) found++;
  printf("words %u: %u lines, %u words, %u distinct, %u most, %u found, %zu\n", n, lines, words, distinct, most, found,
         strlen(text));
  return 0;
}
