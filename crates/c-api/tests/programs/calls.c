/* Calls in both directions, one within the other; traps through them, with their frames; and objects that are deleted in the middle. */
#include "check.h"

static int finalized = 0;
static void finalize(void* env) {
  (void)env;
  finalized++;
}

typedef struct {
  wasm_func_t* inner;
  wasm_store_t* store;
  int depth;
} state_t;

/* Calls the guest again, or ends with a trap of its own. */
static wasm_trap_t* again(void* env, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  state_t* state = env;
  CHECK(args->size == 1 && args->data[0].kind == WASM_I32 && results->size == 1 && results->data[0].kind == WASM_I32);
  if (args->data[0].of.i32 == 100) {
    wasm_message_t message;
    wasm_name_new_from_string(&message, "a hundred is too much");
    wasm_trap_t* trap = wasm_trap_new(state->store, &message);
    wasm_name_delete(&message);
    wasm_trap_set_host_info(trap, state);
    return trap;
  }
  if (state->depth-- == 0) {
    results->data[0].of.i32 = args->data[0].of.i32;
    return NULL;
  }
  wasm_val_t next[] = {WASM_I32_VAL(args->data[0].of.i32 + 1)};
  wasm_val_vec_t nexts = WASM_ARRAY_VEC(next);
  return wasm_func_call(state->inner, &nexts, results);
}

static wasm_trap_t* delete_all(void* env, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  (void)args, (void)results;
  state_t* state = env;
  wasm_func_delete(state->inner);
  wasm_store_delete(state->store);
  return NULL;
}

static wasm_trap_t* wrong(const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  (void)args;
  results->data[0].kind = WASM_F64;
  return NULL;
}

static wasm_instance_t* linked(wasm_store_t* store, wasm_engine_t* engine, const char* text, wasm_func_t* import) {
  wasm_module_t* module = module_of(engine, text);
  wasm_extern_t* items[] = {wasm_func_as_extern(import)};
  wasm_extern_vec_t imports = WASM_ARRAY_VEC(items);
  wasm_trap_t* trap;
  wasm_instance_t* instance = wasm_instance_new(store, module, &imports, &trap);
  trap_free(trap);
  wasm_module_delete(module);
  return instance;
}

/* Of two instances of one module nobody says which it was. */
static void twins(wasm_engine_t* engine, wasm_store_t* store) {
  wasm_module_t* module = module_of(engine, "(module (func (export \"fall\") (unreachable)))");
  wasm_extern_vec_t none = WASM_EMPTY_VEC;
  for (int count = 1; count <= 2; count++) {
    wasm_instance_t* instance = wasm_instance_new(store, module, &none, NULL);
    wasm_func_t* fall = func_of(instance, "fall");
    wasm_trap_t* trap = call(fall);
    wasm_frame_t* origin = wasm_trap_origin(trap);
    CHECK((wasm_frame_instance(origin) != NULL) == (count == 1));
    wasm_frame_delete(origin);
    wasm_trap_delete(trap);
    wasm_func_delete(fall);
    wasm_instance_delete(instance);
  }
  wasm_module_delete(module);
}

int main(void) {
  wasm_engine_t* engine = wasm_engine_new();
  wasm_store_t* store = wasm_store_new(engine);
  state_t state = {NULL, store, 3};
  wasm_functype_t* type = wasm_functype_new_1_1(wasm_valtype_new_i32(), wasm_valtype_new_i32());
  wasm_func_t* import = wasm_func_new_with_env(store, type, again, &state, finalize);
  CHECK(wasm_func_param_arity(import) == 1 && wasm_func_result_arity(import) == 1);
  wasm_instance_t* instance = linked(store, engine,
    "(module (import \"\" \"f\" (func $f (param i32) (result i32)))"
    " (func $go (export \"go\") (param i32) (result i32) (call $f (i32.add (local.get 0) (i32.const 10))))"
    " (func (export \"fall\") (unreachable)))", import);
  wasm_func_delete(import);
  state.inner = func_of(instance, "go");

  wasm_val_t arg[] = {WASM_I32_VAL(1)}, result[] = {WASM_INIT_VAL};
  wasm_val_vec_t args = WASM_ARRAY_VEC(arg), results = WASM_ARRAY_VEC(result), none = WASM_EMPTY_VEC;
  trap_free(wasm_func_call(state.inner, &args, &results));
  CHECK(result[0].kind == WASM_I32 && result[0].of.i32 == 44);

  /* A trap of the program's, through two levels of guests, is still the same one. */
  arg[0].of.i32 = 79;
  state.depth = 2;
  wasm_trap_t* trap = wasm_func_call(state.inner, &args, &results);
  CHECK(trap != NULL && wasm_trap_get_host_info(trap) == &state);
  wasm_message_t message;
  wasm_trap_message(trap, &message);
  CHECK(strcmp(message.data, "a hundred is too much") == 0);
  wasm_byte_vec_delete(&message);
  wasm_frame_vec_t frames;
  wasm_trap_trace(trap, &frames);
  CHECK(frames.size >= 1 && wasm_frame_func_index(frames.data[0]) == 1);
  wasm_frame_vec_delete(&frames);
  wasm_trap_t* copy = wasm_trap_copy(trap);
  CHECK(wasm_trap_same(copy, trap));
  wasm_trap_delete(copy);
  wasm_trap_delete(trap);

  wasm_func_t* fall = func_of(instance, "fall");
  trap = call(fall);
  innkeeper_error_t* error = innkeeper_trap_error(trap);
  CHECK(innkeeper_error_trap_code(error) == INNKEEPER_TRAP_UNREACHABLE && innkeeper_error_kind(error) == INNKEEPER_ERROR_TRAP);
  innkeeper_error_delete(error);
  wasm_frame_t* origin = wasm_trap_origin(trap);
  CHECK(wasm_instance_same(wasm_frame_instance(origin), instance));
  CHECK(wasm_frame_module_offset(origin) > wasm_frame_func_offset(origin) && wasm_frame_func_offset(origin) > 0);
  wasm_name_t name;
  CHECK(innkeeper_frame_func_name(origin, &name) && strcmp(name.data, "fall") == 0);
  wasm_name_delete(&name);
  wasm_frame_delete(origin);
  wasm_trap_delete(trap);
  wasm_func_delete(fall);

  twins(engine, store);

  /* Calls that do not fit. */
  failed(innkeeper_trap_error(trap = wasm_func_call(state.inner, &none, &results)), INNKEEPER_ERROR_USAGE, "0 values");
  wasm_trap_delete(trap);
  arg[0].kind = WASM_F32;
  failed(innkeeper_trap_error(trap = wasm_func_call(state.inner, &args, &results)), INNKEEPER_ERROR_USAGE, "f32");
  wasm_trap_delete(trap);
  wasm_func_t* bad = wasm_func_new(store, type, wrong);
  arg[0].kind = WASM_I32;
  failed(innkeeper_trap_error(trap = wasm_func_call(bad, &args, &results)), INNKEEPER_ERROR_USAGE, "f64");
  wasm_trap_delete(trap);
  wasm_func_delete(bad);
  wasm_func_delete(state.inner);
  wasm_instance_delete(instance);
  wasm_functype_delete(type);
  CHECK(finalized == 0);
  wasm_store_delete(store);
  CHECK(finalized == 1);

  /* The function that runs is deleted with its store, in the call. */
  state.store = wasm_store_new(engine);
  type = wasm_functype_new_0_0();
  import = wasm_func_new_with_env(state.store, type, delete_all, &state, finalize);
  wasm_functype_delete(type);
  instance = linked(state.store, engine,
    "(module (import \"\" \"f\" (func $f)) (func (export \"go\") (call $f)))", import);
  wasm_func_delete(import);
  state.inner = func_of(instance, "go");
  wasm_instance_delete(instance);
  trap_free(call(state.inner));
  CHECK(finalized == 2);
  wasm_engine_delete(engine);
  return 0;
}
