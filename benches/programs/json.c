// A parser and printer: a JSON document of N records is made, parsed into a tree, summed up and printed again.
#include "bench.h"

enum kind { NIL, BOOLEAN, NUMBER, STRING, ARRAY, OBJECT };
struct value {
  enum kind kind;
  double number;
  char *text;  // Of a string, and of the key where the value is a member.
  char *key;
  struct value *first, *next;
};

static char *room, *room_end;
static void *take(uint32_t bytes) {
  bytes = (bytes + 7) & ~7u;
  if (room_end - room < (int)bytes) {
    room = malloc(1 << 16);
    if (!room) abort();
    room_end = room + (1 << 16);
  }
  void *taken = room;
  room += bytes;
  return taken;
}

static const char *at;
static void blank(void) { while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') at++; }
static void want(char c) { if (*at++ != c) abort(); }

static char *string(void) {
  want('"');
  const char *end = at;
  while (*end != '"') end += *end == '\\' ? 2 : 1;
  char *text = take((uint32_t)(end - at) + 1), *out = text;
  while (at < end) {
    char c = *at++;
    if (c == '\\') {
      c = *at++;
      if (c == 'n') c = '\n';
      else if (c == 't') c = '\t';
    }
    *out++ = c;
  }
  *out = 0;
  at++;
  return text;
}

static double number(void) {
  double sign = 1, value = 0;
  if (*at == '-') sign = -1, at++;
  while (*at >= '0' && *at <= '9') value = value * 10 + (*at++ - '0');
  if (*at == '.') {
    double scale = 0.1;
    for (at++; *at >= '0' && *at <= '9'; scale /= 10) value += scale * (*at++ - '0');
  }
  return sign * value;
}

static struct value *parse(void) {
  struct value *v = take(sizeof *v);
  memset(v, 0, sizeof *v);
  blank();
  switch (*at) {
    case '{': case '[': {
      char close = *at == '{' ? '}' : ']';
      v->kind = *at++ == '{' ? OBJECT : ARRAY;
      struct value **last = &v->first;
      for (blank(); *at != close; blank()) {
        char *key = NULL;
        if (v->kind == OBJECT) key = string(), blank(), want(':');
        *last = parse();
        (*last)->key = key;
        last = &(*last)->next;
        blank();
        if (*at == ',') at++, blank();
      }
      at++;
      break;
    }
    case '"': v->kind = STRING, v->text = string(); break;
    case 't': v->kind = BOOLEAN, v->number = 1, at += 4; break;
    case 'f': v->kind = BOOLEAN, at += 5; break;
    case 'n': v->kind = NIL, at += 4; break;
    default: v->kind = NUMBER, v->number = number();
  }
  return v;
}

static char *out;
static void put(const char *text) { while (*text) *out++ = *text++; }

static void put_string(const char *text) {
  *out++ = '"';
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') *out++ = '\\', *out++ = *text;
    else if (*text == '\n') put("\\n");
    else *out++ = *text;
  }
  *out++ = '"';
}

static void put_integer(int64_t n) {
  char digits[24], *p = digits + 23;
  *p = 0;
  uint64_t rest = n < 0 ? (uint64_t)-n : (uint64_t)n;
  do *--p = (char)('0' + rest % 10);
  while (rest /= 10);
  if (n < 0) *--p = '-';
  put(p);
}

static void print(const struct value *v) {
  switch (v->kind) {
    case NIL: put("null"); break;
    case BOOLEAN: put(v->number != 0 ? "true" : "false"); break;
    case NUMBER: put_integer((int64_t)(v->number * 100)); break;
    case STRING: put_string(v->text); break;
    case ARRAY: case OBJECT:
      *out++ = v->kind == ARRAY ? '[' : '{';
      for (const struct value *e = v->first; e; e = e->next) {
        if (v->kind == OBJECT) put_string(e->key), *out++ = ':';
        print(e);
        if (e->next) *out++ = ',';
      }
      *out++ = v->kind == ARRAY ? ']' : '}';
  }
}

static double sum(const struct value *v, const char *key) {
  double total = v->kind == NUMBER && v->key && strcmp(v->key, key) == 0 ? v->number : 0;
  for (const struct value *e = v->first; e; e = e->next) total += sum(e, key);
  return total;
}

int main(int argc, char **argv) {
  uint32_t n = size_argument(argc, argv, 16000), seed = 41;
  char *text = malloc(n * 200 + 16), *printed = malloc(n * 200 + 16);
  if (!text || !printed) return 1;
  out = text;
  put("[");
  for (uint32_t i = 0; i < n; i++) {
    put(i ? ",\n  { \"id\": " : "\n  { \"id\": ");
    put_integer(i);
    put(", \"name\": \"guest \\\"");
    for (uint32_t j = next_random(&seed) % 12; j; j--) *out++ = (char)('a' + next_random(&seed) % 26);
    put("\\\"\\n\", \"price\": ");
    put_integer(next_random(&seed) % 1000);
    *out++ = '.', *out++ = (char)('0' + next_random(&seed) % 10), *out++ = '5';
    put(", \"stay\": [");
    for (uint32_t j = next_random(&seed) % 6; j; j--) put_integer(next_random(&seed) % 365), put(j > 1 ? ", " : "");
    put(next_random(&seed) % 2 ? "], \"paid\": true }" : "], \"paid\": false, \"note\": null }");
  }
  put("\n]\n");
  *out = 0;
  double price = 0;
  uint32_t hash = 0;
  for (int round = 0; round < 4; round++) {
    at = text;
    struct value *tree = parse();
    price += sum(tree, "price");
    out = printed;
    print(tree);
    for (char *p = printed; p < out; p++) hash = hash * 31 + (uint8_t)*p;
  }
  printf("json %u: price %.2f, %u bytes, %08x\n", n, price, (uint32_t)(out - printed), hash);
  return 0;
}
