// A state machine by switch: a lexer over generated text, N kilobytes of it, sixteen times.
#include "bench.h"

enum state { START, WORD, NUMBER, FRACTION, STRING, ESCAPE, COMMENT, OPERATOR };

int main(int argc, char **argv) {
  static const char alphabet[] = "abcxyz019. \n\"\\#+-*/<=  \tqwe5";
  uint32_t n = size_argument(argc, argv, 1200) * 1024, seed = 11;
  char *text = malloc(n + 1);
  if (!text) return 1;
  for (uint32_t i = 0; i < n; i++) text[i] = alphabet[next_random(&seed) % (sizeof alphabet - 1)];
  text[n] = 0;
  uint32_t tokens[8] = {0};
  for (int pass = 0; pass < 16; pass++) {
    enum state state = START;
    for (const char *p = text; *p;) {
      char c = *p;
      switch (state) {
        case START:
          switch (c) {
            case ' ': case '\t': case '\n': p++; break;
            case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
              state = NUMBER, p++; break;
            case '"': state = STRING, p++; break;
            case '#': state = COMMENT, p++; break;
            case '+': case '-': case '*': case '/': case '<': case '=': state = OPERATOR, p++; break;
            case '\\': case '.': tokens[START]++, p++; break;
            default: state = WORD, p++;
          }
          break;
        case WORD:
          if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) p++;
          else tokens[WORD]++, state = START;
          break;
        case NUMBER:
          if (c >= '0' && c <= '9') p++;
          else if (c == '.') state = FRACTION, p++;
          else tokens[NUMBER]++, state = START;
          break;
        case FRACTION:
          if (c >= '0' && c <= '9') p++;
          else tokens[FRACTION]++, state = START;
          break;
        case STRING:
          if (c == '"') tokens[STRING]++, state = START;
          else if (c == '\\') state = ESCAPE;
          p++;
          break;
        case ESCAPE: tokens[ESCAPE]++, state = STRING, p++; break;
        case COMMENT:
          if (c == '\n') tokens[COMMENT]++, state = START;
          p++;
          break;
        case OPERATOR:
          if (c == '=') p++;
          tokens[OPERATOR]++, state = START;
          break;
      }
    }
    text[pass] = alphabet[pass];
  }
  uint32_t hash = 0;
  for (int i = 0; i < 8; i++) hash = hash * 16777619u ^ tokens[i];
  printf("states %u: %u words, %u numbers, %u strings, %08x\n", n, tokens[WORD], tokens[NUMBER], tokens[STRING], hash);
  return 0;
}
