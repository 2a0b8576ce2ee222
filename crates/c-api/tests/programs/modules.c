/* Modules: validated, serialized, damaged, shared, linked by name. */
#include "check.h"

static const char* text = "(module (func (export \"five\") (result i32) (i32.const 5)))";

static int32_t five(wasm_store_t* store, const wasm_module_t* module) {
  wasm_extern_vec_t none = WASM_EMPTY_VEC;
  wasm_instance_t* instance = wasm_instance_new(store, module, &none, NULL);
  CHECK(instance != NULL);
  wasm_func_t* func = func_of(instance, "five");
  wasm_val_t result[] = {WASM_INIT_VAL};
  wasm_val_vec_t results = WASM_ARRAY_VEC(result);
  trap_free(wasm_func_call(func, NULL, &results));
  wasm_func_delete(func);
  wasm_instance_delete(instance);
  return result[0].of.i32;
}

static void serialized(innkeeper_tiers_t tiers) {
  wasm_config_t* config = wasm_config_new();
  innkeeper_config_set_tiers(config, tiers);
  wasm_engine_t* engine = wasm_engine_new_with_config(config);
  wasm_store_t* store = wasm_store_new(engine);
  wasm_module_t* module = module_of(engine, text);
  wasm_byte_vec_t bytes, binary;
  wasm_module_serialize(module, &bytes);
  innkeeper_module_bytes(module, &binary);
  CHECK(bytes.size > 0 && binary.size > 8 && memcmp(binary.data, "\0asm", 4) == 0);
  CHECK(wasm_module_validate(store, &binary));
  wasm_module_t *back = wasm_module_deserialize(store, &bytes), *storeless;
  CHECK(back != NULL && five(store, back) == 5);
  done(innkeeper_module_deserialize(engine, &bytes, &storeless));
  CHECK(five(store, storeless) == 5 && !wasm_module_same(back, storeless));
  wasm_module_delete(storeless);
  wasm_module_delete(back);
  bytes.size--;
  CHECK(wasm_module_deserialize(store, &bytes) == NULL);
  innkeeper_error_t* error = innkeeper_last_error();
  CHECK(error != NULL);
  innkeeper_error_delete(error);
  bytes.size++;
  binary.data[9] ^= 0x55;
  CHECK(!wasm_module_validate(store, &binary) && wasm_module_new(store, &binary) == NULL);
  failed(innkeeper_last_error(), INNKEEPER_ERROR_MALFORMED, "not a valid");
  wasm_byte_vec_delete(&binary);
  wasm_byte_vec_delete(&bytes);

  wasm_shared_module_t* shared = wasm_module_share(module);
  wasm_module_delete(module);
  wasm_store_t* other = wasm_store_new(engine);
  module = wasm_module_obtain(other, shared);
  wasm_shared_module_delete(shared);
  CHECK(five(other, module) == 5);
  wasm_module_delete(module);
  wasm_store_delete(other);
  wasm_store_delete(store);
  wasm_engine_delete(engine);
}

static void linked(void) {
  wasm_engine_t* engine = wasm_engine_new();
  wasm_store_t* store = wasm_store_new(engine);
  wasm_module_t* user = module_of(engine,
    "(module (import \"lib\" \"five\" (func $f (result i32))) (import \"lib\" \"gone\" (func $g))"
    " (func (export \"five\") (result i32) (call $f)) (func (export \"gone\") (call $g)))");
  innkeeper_linker_t* linker = innkeeper_linker_new(engine);
  wasm_instance_t *library = instance_of(store, engine, text), *instance;
  done(innkeeper_linker_define_instance(linker, "lib", library));
  failed(innkeeper_linker_instantiate(linker, store, user, &instance), INNKEEPER_ERROR_LINK, "gone");
  CHECK(instance == NULL);
  done(innkeeper_linker_define_unknown_as_traps(linker, user));
  done(innkeeper_linker_instantiate(linker, store, user, &instance));
  wasm_func_t* gone = func_of(instance, "gone");
  wasm_trap_t* trap = call(gone);
  CHECK(trap != NULL);
  wasm_trap_delete(trap);
  wasm_extern_t* again = innkeeper_instance_export(library, "five");
  failed(innkeeper_linker_define(linker, "lib", "five", again), INNKEEPER_ERROR_LINK, "five");
  innkeeper_linker_allow_shadowing(linker, true);
  done(innkeeper_linker_define(linker, "lib", "five", again));
  wasm_extern_delete(again);
  wasm_func_delete(gone);
  wasm_instance_delete(instance);
  wasm_instance_delete(library);
  innkeeper_linker_delete(linker);
  wasm_module_delete(user);
  wasm_store_delete(store);
  wasm_engine_delete(engine);
}

int main(void) {
  serialized(INNKEEPER_TIERS_AUTO);
  serialized(INNKEEPER_TIERS_INTERPRETER);
  linked();
  return 0;
}
