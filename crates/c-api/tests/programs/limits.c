/* Time, fuel, memory, and another thread that stops a guest. */
#include <pthread.h>

#include "check.h"

static const char* guest =
  "(module (memory (export \"m\") 1) (func (export \"spin\") (loop $l (br $l)))"
  " (func (export \"grow\") (param i32) (result i32) (memory.grow (local.get 0)))"
  " (func $r (export \"recurse\") (call $r) (nop)))";

static void stops(const wasm_func_t* func, innkeeper_trap_code_t code) {
  wasm_trap_t* trap = call(func);
  CHECK(trap != NULL);
  innkeeper_error_t* error = innkeeper_trap_error(trap);
  CHECK(innkeeper_error_trap_code(error) == code);
  innkeeper_error_delete(error);
  wasm_trap_delete(trap);
}

static void* stop(void* interrupt) {
  innkeeper_interrupt_stop(interrupt);
  return NULL;
}

static int32_t grown(const wasm_func_t* grow, int32_t pages) {
  wasm_val_t arg[] = {WASM_I32_VAL(pages)}, result[] = {WASM_INIT_VAL};
  wasm_val_vec_t args = WASM_ARRAY_VEC(arg), results = WASM_ARRAY_VEC(result);
  trap_free(wasm_func_call(grow, &args, &results));
  return result[0].of.i32;
}

int main(void) {
  wasm_config_t* config = wasm_config_new();
  innkeeper_limits_t limits = {0};
  limits.memory_size = 4 * MEMORY_PAGE_SIZE;
  innkeeper_config_set_limits(config, &limits);
  innkeeper_config_set_fuel(config, true);
  innkeeper_config_set_tiers(config, INNKEEPER_TIERS_AUTO);
  wasm_engine_t* engine = wasm_engine_new_with_config(config);
  wasm_store_t* store = wasm_store_new(engine);
  done(innkeeper_store_set_fuel(store, 1000000000000));
  wasm_instance_t* instance = instance_of(store, engine, guest);
  wasm_func_t *spin = func_of(instance, "spin"), *grow = func_of(instance, "grow"), *recurse = func_of(instance, "recurse");

  done(innkeeper_store_set_deadline(store, 10000000));
  stops(spin, INNKEEPER_TRAP_DEADLINE);
  done(innkeeper_store_set_deadline(store, INNKEEPER_NO_LIMIT));
  done(innkeeper_store_set_processor_time(store, 10000000));
  stops(spin, INNKEEPER_TRAP_DEADLINE);
  done(innkeeper_store_set_processor_time(store, INNKEEPER_NO_LIMIT));
  innkeeper_interrupt_t* interrupt = innkeeper_store_interrupt(store);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, stop, interrupt) == 0);
  stops(spin, INNKEEPER_TRAP_INTERRUPTED);
  pthread_join(thread, NULL);
  stops(recurse, INNKEEPER_TRAP_STACK_EXHAUSTED);

  done(innkeeper_store_set_fuel(store, 500));
  stops(spin, INNKEEPER_TRAP_OUT_OF_FUEL);
  uint64_t fuel = 1;
  done(innkeeper_store_fuel(store, &fuel));
  CHECK(fuel == 0);
  done(innkeeper_store_set_fuel(store, 500));

  CHECK(grown(grow, 2) == 1 && grown(grow, 2) == -1);
  wasm_extern_t* memory = innkeeper_instance_export(instance, "m");
  wasm_memory_t* as_memory = wasm_extern_as_memory(memory);
  CHECK(wasm_memory_size(as_memory) == 3 && wasm_memory_data_size(as_memory) == 3 * MEMORY_PAGE_SIZE);
  wasm_memory_data(as_memory)[3 * MEMORY_PAGE_SIZE - 1] = 7;
  CHECK(wasm_memory_grow(as_memory, 1) && !wasm_memory_grow(as_memory, 1));
  CHECK(wasm_memory_data(as_memory)[3 * MEMORY_PAGE_SIZE - 1] == 7);
  wasm_extern_delete(memory);
  wasm_func_delete(spin);
  wasm_func_delete(grow);
  wasm_func_delete(recurse);
  wasm_instance_delete(instance);
  wasm_store_delete(store);
  innkeeper_interrupt_stop(interrupt);
  innkeeper_interrupt_delete(interrupt);

  /* A store with limits of its own. */
  memset(&limits, 0, sizeof limits);
  limits.instances = 1;
  done(innkeeper_store_new(engine, &limits, NULL, &store));
  done(innkeeper_store_set_fuel(store, 1000));
  instance = instance_of(store, engine, guest);
  wasm_module_t* module = module_of(engine, guest);
  wasm_extern_vec_t none = WASM_EMPTY_VEC;
  CHECK(wasm_instance_new(store, module, &none, NULL) == NULL);
  failed(innkeeper_last_error(), INNKEEPER_ERROR_LIMIT, "instances");
  wasm_module_delete(module);
  wasm_instance_delete(instance);
  wasm_store_delete(store);
  wasm_engine_delete(engine);

  /* What the configuration allows holds for a whole program as well, and for a store with keys. */
  config = wasm_config_new();
  memset(&limits, 0, sizeof limits);
  limits.memory_bytes = 1 << 20;
  innkeeper_config_set_limits(config, &limits);
  engine = wasm_engine_new_with_config(config);
  module = module_of(engine,
    "(module (memory (export \"memory\") 1)"
    " (func $g (export \"grow\") (param i32) (result i32) (memory.grow (local.get 0)))"
    " (func (export \"_start\") (if (i32.ne (call $g (i32.const 64)) (i32.const -1)) (then unreachable))))");
  int32_t status = -1;
  done(innkeeper_run(module, NULL, &status));
  CHECK(status == 0);
  innkeeper_keys_t* keys = innkeeper_keys_new();
  done(innkeeper_store_new(engine, NULL, keys, &store));
  instance = wasm_instance_new(store, module, &none, NULL);
  grow = func_of(instance, "grow");
  CHECK(grown(grow, 64) == -1 && grown(grow, 1) == 1);
  wasm_func_delete(grow);
  wasm_instance_delete(instance);
  wasm_store_delete(store);
  innkeeper_keys_delete(keys);
  wasm_module_delete(module);
  wasm_engine_delete(engine);
  return 0;
}
