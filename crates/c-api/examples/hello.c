/* A host in C: a function of the host, a program of WASI with the keys it needs, what it printed, and a deadline for one that does not end.
 *
 * cc hello.c -linnkeeper_c -o hello, once the library is installed (docs/c.md). */
#include <stdio.h>
#include <stdlib.h>

#include "innkeeper.h"

static const char* program =
  "(module"
  " (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))"
  " (import \"host\" \"next\" (func $next (param i32) (result i32)))"
  " (memory (export \"memory\") 1)"
  " (data (i32.const 0) \"\\10\\00\\00\\00\\06\\00\\00\\00\") (data (i32.const 16) \"hello\\n\")"
  " (func (export \"_start\") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))"
  " (func (export \"twice\") (param i32) (result i32) (call $next (call $next (local.get 0))))"
  " (func (export \"spin\") (loop $again (br $again))))";

/* Ends the program where something has failed. */
static void check(innkeeper_error_t* error) {
  if (error == NULL) return;
  wasm_message_t report;
  innkeeper_error_report(error, &report);
  fprintf(stderr, "%s\n", report.data);
  exit(1);
}

/* What the guest calls `host.next`. */
static wasm_trap_t* next(void* env, const innkeeper_caller_t* caller, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  (void)env, (void)caller;
  results->data[0].of.i32 = args->data[0].of.i32 + 1;
  return NULL;
}

/* Calls an export, and gives what has stopped it. */
static wasm_trap_t* call(const wasm_instance_t* instance, const char* name, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  wasm_extern_t* item = innkeeper_instance_export(instance, name);
  wasm_trap_t* trap = wasm_func_call(wasm_extern_as_func(item), args, results);
  wasm_extern_delete(item);
  return trap;
}

int main(void) {
  wasm_engine_t* engine = wasm_engine_new();
  wasm_byte_vec_t text;
  wasm_name_new_from_string(&text, program);
  wasm_module_t* module;
  check(innkeeper_module_new(engine, &text, &module));
  wasm_byte_vec_delete(&text);

  innkeeper_linker_t* linker = innkeeper_linker_new(engine);
  check(innkeeper_linker_define_wasi(linker));
  wasm_functype_t* type = wasm_functype_new_1_1(wasm_valtype_new_i32(), wasm_valtype_new_i32());
  check(innkeeper_linker_define_func(linker, "host", "next", type, next, NULL, NULL));
  wasm_functype_delete(type);

  /* The guest may write to its output, which is kept here, and nothing else. */
  innkeeper_keys_t* keys = innkeeper_keys_new();
  innkeeper_capture_t* output = innkeeper_keys_capture_output(keys, INNKEEPER_STDOUT, 1 << 20);
  wasm_store_t* store;
  check(innkeeper_store_new(engine, NULL, keys, &store));
  wasm_instance_t* instance;
  check(innkeeper_linker_instantiate(linker, store, module, &instance));

  wasm_trap_t* trap = call(instance, "_start", NULL, NULL);
  if (trap != NULL) check(innkeeper_trap_error(trap));
  wasm_byte_vec_t printed;
  innkeeper_capture_contents(output, &printed);
  printf("the guest printed: %.*s", (int)printed.size, printed.data);
  wasm_byte_vec_delete(&printed);

  wasm_val_t number[] = {WASM_I32_VAL(40)}, answer[] = {WASM_INIT_VAL};
  wasm_val_vec_t args = WASM_ARRAY_VEC(number), results = WASM_ARRAY_VEC(answer);
  trap = call(instance, "twice", &args, &results);
  if (trap != NULL) check(innkeeper_trap_error(trap));
  printf("twice next of 40: %d\n", answer[0].of.i32);

  /* Ten milliseconds for what does not end. */
  check(innkeeper_store_set_deadline(store, 10 * 1000 * 1000));
  trap = call(instance, "spin", NULL, NULL);
  innkeeper_error_t* error = innkeeper_trap_error(trap);
  printf("spin: %s\n", innkeeper_error_trap_code(error) == INNKEEPER_TRAP_DEADLINE ? "its time was over" : "something else");

  innkeeper_error_delete(error);
  wasm_trap_delete(trap);
  wasm_instance_delete(instance);
  wasm_store_delete(store);
  innkeeper_capture_delete(output);
  innkeeper_keys_delete(keys);
  innkeeper_linker_delete(linker);
  wasm_module_delete(module);
  wasm_engine_delete(engine);
  return 0;
}
