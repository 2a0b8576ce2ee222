// A larger program: a small Lisp with closures and a copying collector, which runs queens, primes and a sort, N times.
#include "bench.h"

// A value is an integer (odd), a symbol, builtin or pair (an index into its array, tagged in the low bits), or nil.
typedef uint32_t value;
enum { NIL = 0, PAIR = 0, SYMBOL = 2, BUILTIN = 4, CLOSURE = 6 };
enum { CELLS = 1 << 17, SYMBOLS = 256, ROOTS = 1 << 15 };

struct cell { value head, tail; };
static struct cell halves[2][CELLS], *cells = halves[0], *other = halves[1];
static uint32_t used = 1, collections;
static value roots[ROOTS];
static uint32_t rooted;
static char names[SYMBOLS][12];
static value globals[SYMBOLS];
static uint32_t symbols;

static int is_integer(value v) { return v & 1; }
static value integer(int32_t n) { return (uint32_t)n << 1 | 1; }
static int32_t number(value v) { return (int32_t)v >> 1; }
static uint32_t tag(value v) { return v & 7; }
static uint32_t place(value v) { return v >> 3; }
static int is_cell(value v) { return v && (tag(v) == PAIR || tag(v) == CLOSURE); }
static value head(value v) { return cells[place(v)].head; }
static value tail(value v) { return cells[place(v)].tail; }

static void push(value v) {
  if (rooted == ROOTS) abort();
  roots[rooted++] = v;
}

static uint32_t copied;
static value forward(value v) {
  if (!is_cell(v)) return v;
  struct cell *from = &cells[place(v)];
  // A moved cell's head is a mark that no value is: a closure of a cell beyond the last.
  if (from->head == 0xfffffffe) return from->tail | tag(v);
  other[copied] = *from;
  from->head = 0xfffffffe;
  from->tail = copied++ << 3;
  return from->tail | tag(v);
}

static void collect(void) {
  copied = 1;
  collections++;
  for (uint32_t i = 0; i < rooted; i++) roots[i] = forward(roots[i]);
  for (uint32_t i = 0; i < symbols; i++) globals[i] = forward(globals[i]);
  for (uint32_t i = 1; i < copied; i++) {
    other[i].head = forward(other[i].head);
    other[i].tail = forward(other[i].tail);
  }
  struct cell *kept = cells;
  cells = other;
  other = kept;
  used = copied;
  if (used > CELLS - 64) abort();
}

// The operands are roots while the cell is made.
static value cons(value a, value b) {
  if (used == CELLS) {
    push(a), push(b);
    collect();
    b = roots[--rooted], a = roots[--rooted];
  }
  cells[used] = (struct cell){a, b};
  return used++ << 3;
}

static value symbol(const char *name, uint32_t length) {
  for (uint32_t i = 0; i < symbols; i++)
    if (strncmp(names[i], name, length) == 0 && !names[i][length]) return i << 3 | SYMBOL;
  if (symbols == SYMBOLS || length > 11) abort();
  memcpy(names[symbols], name, length);
  return symbols++ << 3 | SYMBOL;
}

static const char *at;
static value read(void) {
  while (*at == ' ' || *at == '\n') at++;
  if (*at == '(') {
    at++;
    uint32_t base = rooted;
    for (;;) {
      while (*at == ' ' || *at == '\n') at++;
      if (*at == ')') break;
      push(read());
    }
    at++;
    push(NIL);
    while (rooted - base > 1) {
      value list = cons(roots[rooted - 2], roots[rooted - 1]);
      roots[--rooted - 1] = list;
    }
    return roots[--rooted];
  }
  const char *start = at;
  while (*at && *at != ' ' && *at != '\n' && *at != '(' && *at != ')') at++;
  if (*start >= '0' && *start <= '9') return integer(atoi(start));
  return symbol(start, (uint32_t)(at - start));
}

enum special { IF, LAMBDA, DEFINE, QUOTE, LET, SPECIALS };
enum builtin { ADD, SUBTRACT, MULTIPLY, REMAINDER, LESS, EQUAL, CONS, HEAD, TAIL, IS_NIL };
static value truth;

static value apply_builtin(uint32_t which, value a, value b) {
  switch (which) {
    case ADD: return integer(number(a) + number(b));
    case SUBTRACT: return integer(number(a) - number(b));
    case MULTIPLY: return integer(number(a) * number(b));
    case REMAINDER: return integer(number(a) % number(b));
    case LESS: return number(a) < number(b) ? truth : NIL;
    case EQUAL: return a == b ? truth : NIL;
    case CONS: return cons(a, b);
    case HEAD: return head(a);
    case TAIL: return tail(a);
    case IS_NIL: return a == NIL ? truth : NIL;
  }
  abort();
}

static value look_up(value name, value scope) {
  for (; scope; scope = tail(scope))
    if (head(head(scope)) == name) return tail(head(scope));
  return globals[place(name)];
}

// The expression and the scope live in roots while subexpressions are evaluated.
static value evaluate(value expression, value scope) {
  uint32_t base = rooted;
  push(expression), push(scope);
  for (;;) {
    expression = roots[base], scope = roots[base + 1];
    rooted = base + 2;
    value result;
    if (is_integer(expression) || expression == NIL) result = expression;
    else if (tag(expression) == SYMBOL) result = look_up(expression, scope);
    else {
      value first = head(expression), rest = tail(expression);
      if (tag(first) == SYMBOL && place(first) < SPECIALS) {
        switch (place(first)) {
          case IF:
            if (evaluate(head(rest), scope)) roots[base] = head(tail(tail(roots[base])));
            else roots[base] = head(tail(tail(tail(roots[base]))));
            continue;
          case LET: {
            value made = evaluate(head(tail(rest)), scope);
            value bound = cons(head(tail(roots[base])), made);
            bound = cons(bound, roots[base + 1]);
            roots[base + 1] = bound;
            roots[base] = head(tail(tail(tail(roots[base]))));
            continue;
          }
          case DEFINE: {
            value made = evaluate(head(tail(rest)), scope);
            globals[place(head(tail(roots[base])))] = made;
            result = made;
            break;
          }
          case LAMBDA: result = cons(rest, scope) | CLOSURE; break;
          default: result = head(rest);
        }
      } else {
        value function = evaluate(first, scope);
        push(function);
        push(tail(roots[base]));
        uint32_t arguments = rooted;
        while (roots[arguments - 1]) {
          value argument = evaluate(head(roots[arguments - 1]), roots[base + 1]);
          push(argument);
          roots[arguments - 1] = tail(roots[arguments - 1]);
        }
        function = roots[arguments - 2];
        if (tag(function) == BUILTIN) {
          value a = roots[arguments], b = rooted > arguments + 1 ? roots[arguments + 1] : NIL;
          result = apply_builtin(place(function), a, b);
        } else if (is_cell(function) && tag(function) == CLOSURE) {
          // Parameters are bound one after the other on the closure's scope; then the body takes this frame.
          push(head(head(function)));
          push(tail(function));
          uint32_t frame = rooted;
          for (uint32_t i = arguments; roots[frame - 2]; i++) {
            value bound = cons(head(roots[frame - 2]), roots[i]);
            bound = cons(bound, roots[frame - 1]);
            roots[frame - 1] = bound;
            roots[frame - 2] = tail(roots[frame - 2]);
          }
          roots[base] = head(tail(head(roots[arguments - 2])));
          roots[base + 1] = roots[frame - 1];
          continue;
        } else {
          abort();
        }
      }
    }
    rooted = base;
    return result;
  }
}

static const char library[] =
  "(define fold (lambda (f a l) (if (nil? l) a (fold f (f a (head l)) (tail l)))))"
  "(define range (lambda (a b) (if (< a b) (cons a (range (+ a 1) b)) (quote ()))))"
  "(define keep (lambda (f l) (if (nil? l) l (if (f (head l)) (cons (head l) (keep f (tail l))) (keep f (tail l))))))"
  "(define join (lambda (a b) (if (nil? a) b (cons (head a) (join (tail a) b)))))"
  "(define safe (lambda (q d l) (if (nil? l) t (if (= (head l) q) (quote ()) (if (= (head l) (+ q d)) (quote ())"
  "  (if (= (head l) (- q d)) (quote ()) (safe q (+ d 1) (tail l))))))))"
  "(define queens (lambda (n k l) (if (= k 0) 1 (fold (lambda (a q) (if (safe q 1 l) (+ a (queens n (- k 1) (cons q l))) a))"
  "  0 (range 0 n)))))"
  "(define prime (lambda (n d) (if (< n (* d d)) t (if (= (rem n d) 0) (quote ()) (prime n (+ d 1))))))"
  "(define primes (lambda (n) (fold (lambda (a p) (+ a 1)) 0 (keep (lambda (p) (prime p 2)) (range 2 n)))))"
  "(define sort (lambda (l) (if (nil? l) l (let pivot (head l) (join (sort (keep (lambda (x) (< x pivot)) (tail l)))"
  "  (cons pivot (sort (keep (lambda (x) (if (< x pivot) (quote ()) t)) (tail l)))))))))"
  "(define noise (lambda (n s) (if (= n 0) (quote ()) (cons s (noise (- n 1) (rem (+ (* s 171) 11213) 30323))))))"
  "(define digest (lambda (l) (fold (lambda (a x) (rem (+ (* a 31) x) 65521)) 7 l)))";

static value run(const char *text) {
  value last = NIL;
  for (at = text; *at; last = evaluate(read(), NIL)) {}
  return last;
}

int main(int argc, char **argv) {
  static const char *const specials[] = {"if", "lambda", "define", "quote", "let"};
  static const char *const builtins[] = {"+", "-", "*", "rem", "<", "=", "cons", "head", "tail", "nil?"};
  uint32_t n = size_argument(argc, argv, 20);
  for (uint32_t i = 0; i < SPECIALS; i++) symbol(specials[i], (uint32_t)strlen(specials[i]));
  for (uint32_t i = 0; i < 10; i++) globals[place(symbol(builtins[i], (uint32_t)strlen(builtins[i])))] = i << 3 | BUILTIN;
  truth = symbol("t", 1);
  globals[place(truth)] = truth;
  run(library);
  char text[64];
  int32_t queens = 0, primes = 0, digest = 0;
  for (uint32_t i = 0; i < n; i++) {
    queens += number(run("(queens 6 6 (quote ()))"));
    snprintf(text, sizeof text, "(primes %u)", 200 + i % 8);
    primes += number(run(text));
    snprintf(text, sizeof text, "(digest (sort (noise 200 %u)))", 42 + i);
    digest ^= number(run(text));
  }
  printf("lisp %u: %d queens, %d primes, digest %d, %u collections\n", n, queens, primes, digest, collections);
  return 0;
}
