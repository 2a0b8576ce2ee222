// An interpreter in the interpreter: bytecode of a stack machine that sums the squares below N which are no multiples of 3.
#include "bench.h"

enum op { PUSH, LOAD, STORE, ADD, SUB, MUL, REM, LESS, JUMP, JUMP_IF_NOT, XOR, HALT };

static uint32_t run(const int32_t *code, int32_t *locals) {
  int32_t stack[32], *sp = stack;
  const int32_t *pc = code;
  for (;;) {
    switch (*pc++) {
      case PUSH: *sp++ = *pc++; break;
      case LOAD: *sp++ = locals[*pc++]; break;
      case STORE: locals[*pc++] = *--sp; break;
      case ADD: sp--, sp[-1] = (int32_t)((uint32_t)sp[-1] + (uint32_t)sp[0]); break;
      case SUB: sp--, sp[-1] = (int32_t)((uint32_t)sp[-1] - (uint32_t)sp[0]); break;
      case MUL: sp--, sp[-1] = (int32_t)((uint32_t)sp[-1] * (uint32_t)sp[0]); break;
      case REM: sp--, sp[-1] = sp[-1] % sp[0]; break;
      case LESS: sp--, sp[-1] = sp[-1] < sp[0]; break;
      case XOR: sp--, sp[-1] ^= sp[0]; break;
      case JUMP: pc = code + *pc; break;
      case JUMP_IF_NOT: pc = *--sp ? pc + 1 : code + *pc; break;
      case HALT: return (uint32_t)*--sp;
    }
  }
}

// Appends words to the program.
#define EMIT(...)                             \
  do {                                        \
    const int32_t words[] = {__VA_ARGS__};    \
    memcpy(program + at, words, sizeof words); \
    at += sizeof words / sizeof *words;       \
  } while (0)

int main(int argc, char **argv) {
  int32_t program[64];
  int at = 0;
  EMIT(PUSH, 0, STORE, 1, PUSH, 0, STORE, 0);
  int top = at;
  EMIT(LOAD, 0, LOAD, 2, LESS, JUMP_IF_NOT, 0);
  int leave = at - 1;
  EMIT(LOAD, 0, PUSH, 3, REM, JUMP_IF_NOT, 0);
  int skip = at - 1;
  EMIT(LOAD, 1, LOAD, 0, LOAD, 0, MUL, ADD, PUSH, 0x55, XOR, STORE, 1);
  program[skip] = at;
  EMIT(LOAD, 0, PUSH, 1, ADD, STORE, 0, JUMP, top);
  program[leave] = at;
  EMIT(LOAD, 1, HALT);
  uint32_t n = size_argument(argc, argv, 1000000);
  int32_t locals[3] = {0, 0, (int32_t)n};
  uint32_t sum = run(program, locals);
  printf("stack-vm %u: %08x\n", n, sum);
  return 0;
}
