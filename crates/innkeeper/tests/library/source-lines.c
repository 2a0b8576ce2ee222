// Traps in a function that the compiler has inlined into another, which is inlined again: what a backtrace says of lines.
// Built by: clang --target=wasm32 -g -O1 -nostdlib -fdebug-compilation-dir=/src -Wl,--no-entry -o source-lines.wasm source-lines.c
static inline __attribute__((always_inline)) int element(const int *list, int at) {
    if (at > 3)
        __builtin_trap();
    return list[at];
}

static inline __attribute__((always_inline)) int sum(const int *list, int first, int last) {
    int total = 0;
    for (int at = first; at <= last; at++)
        total += element(list, at);
    return total;
}

static const int numbers[4] = {1, 2, 3, 4};

__attribute__((noinline)) int total(int last) {
    return sum(numbers, 0, last);
}

__attribute__((export_name("run"))) int run(int last) {
    return total(last) + 1;
}
