/* What the test programs share: a check that says where it failed, and modules in the text format. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include "innkeeper.h"

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      exit(1); \
    } \
  } while (0)

#define UNUSED __attribute__((unused))

/* A call that must succeed. */
UNUSED static void done(innkeeper_error_t* error) {
  if (error == NULL) return;
  wasm_message_t report;
  innkeeper_error_report(error, &report);
  fprintf(stderr, "%s\n", report.data);
  exit(1);
}

UNUSED static void trap_free(wasm_trap_t* trap) {
  if (trap != NULL) done(innkeeper_trap_error(trap));
}

/* One that must fail, with a sentence that has this in it. */
UNUSED static void failed(innkeeper_error_t* error, innkeeper_error_kind_t kind, const char* with) {
  CHECK(error != NULL);
  wasm_message_t message;
  innkeeper_error_message(error, &message);
  if (strstr(message.data, with) == NULL || innkeeper_error_kind(error) != kind) {
    fprintf(stderr, "kind %d: %s\n", innkeeper_error_kind(error), message.data);
    exit(1);
  }
  wasm_byte_vec_delete(&message);
  innkeeper_error_delete(error);
}

UNUSED static void refused(const char* with) { failed(innkeeper_last_error(), INNKEEPER_ERROR_USAGE, with); }

UNUSED static wasm_module_t* module_of(wasm_engine_t* engine, const char* text) {
  wasm_byte_vec_t bytes;
  wasm_name_new_from_string(&bytes, text);
  wasm_module_t* module;
  done(innkeeper_module_new(engine, &bytes, &module));
  wasm_byte_vec_delete(&bytes);
  return module;
}

UNUSED static wasm_instance_t* instance_of(wasm_store_t* store, wasm_engine_t* engine, const char* text) {
  wasm_module_t* module = module_of(engine, text);
  wasm_extern_vec_t none = WASM_EMPTY_VEC;
  wasm_trap_t* trap;
  wasm_instance_t* instance = wasm_instance_new(store, module, &none, &trap);
  trap_free(trap);
  wasm_module_delete(module);
  return instance;
}

UNUSED static wasm_func_t* func_of(const wasm_instance_t* instance, const char* name) {
  wasm_extern_t* item = innkeeper_instance_export(instance, name);
  CHECK(item != NULL && wasm_extern_as_func(item) != NULL);
  return wasm_extern_as_func(item);
}

UNUSED static wasm_trap_t* call(const wasm_func_t* func) {
  wasm_val_vec_t none = WASM_EMPTY_VEC;
  return wasm_func_call(func, &none, &none);
}

#endif
