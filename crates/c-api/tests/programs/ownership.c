/* Who owns what: finalizers run once, whatever is deleted first; what a function was given to own is gone, what it lent is not; a trap of a callback keeps its message; a
 * function of the program's can end its guest as proc_exit does. */
#include "check.h"

static int finalized[3];

static void finalize(void* env) { ++*(int*)env; }

static wasm_trap_t* nothing(void* env, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  (void)env, (void)args, (void)results;
  return NULL;
}

/* A function with an environment is imported; it, the instance and the store are deleted in each order. */
static void finalizers_run_once(wasm_engine_t* engine) {
  static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
  for (int i = 0; i < 6; i++) {
    int count = 0;
    wasm_store_t* store = wasm_store_new(engine);
    wasm_functype_t* type = wasm_functype_new_0_0();
    wasm_func_t* func = wasm_func_new_with_env(store, type, nothing, &count, finalize);
    wasm_func_t* copy = wasm_func_copy(func);
    wasm_functype_delete(type);
    wasm_module_t* module = module_of(engine, "(module (import \"\" \"\" (func $f)) (func (export \"run\") (call $f)) (export \"f\" (func $f)))");
    wasm_extern_t* imported[] = {wasm_func_as_extern(func)};
    wasm_extern_vec_t imports = WASM_ARRAY_VEC(imported);
    wasm_trap_t* trap;
    wasm_instance_t* instance = wasm_instance_new(store, module, &imports, &trap);
    CHECK(instance != NULL && trap == NULL && count == 0);
    wasm_module_delete(module);
    /* Exports are owned by their vector, which is deleted with them. */
    wasm_extern_vec_t exports;
    wasm_instance_exports(instance, &exports);
    CHECK(exports.size == 2);
    CHECK(call(wasm_extern_as_func(exports.data[0])) == NULL);
    wasm_extern_vec_delete(&exports);
    wasm_func_delete(copy);
    for (int j = 0; j < 3; j++) {
      CHECK(count == 0);
      switch (orders[i][j]) {
        case 0: wasm_func_delete(func); break;
        case 1: wasm_instance_delete(instance); break;
        default: wasm_store_delete(store);
      }
    }
    CHECK(count == 1);
  }
}

/* A linker's function goes with the last of the linker and those who were linked. */
static wasm_trap_t* leave(void* env, const innkeeper_caller_t* caller, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  (void)env, (void)results;
  wasm_store_t* store = innkeeper_caller_store(caller);
  wasm_trap_t* trap = innkeeper_trap_new_exit(store, args->data[0].of.i32);
  wasm_store_delete(store);
  return trap;
}

static void functions_exit(wasm_engine_t* engine) {
  innkeeper_linker_t* linker = innkeeper_linker_new(engine);
  wasm_functype_t* type = wasm_functype_new_1_0(wasm_valtype_new_i32());
  int count = 0;
  done(innkeeper_linker_define_func(linker, "wasi_snapshot_preview1", "proc_exit", type, leave, &count, finalize));
  wasm_functype_delete(type);
  wasm_module_t* module = module_of(engine,
    "(module (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))"
    " (func (export \"run\") (param i32) (call $exit (local.get 0)) unreachable))");
  wasm_store_t* store = wasm_store_new(engine);
  wasm_instance_t* instance;
  done(innkeeper_linker_instantiate(linker, store, module, &instance));
  innkeeper_linker_delete(linker);
  wasm_module_delete(module);
  wasm_func_t* run = func_of(instance, "run");
  static const int32_t codes[] = {0, 7, 256, -1};
  for (int i = 0; i < 4; i++) {
    wasm_val_t given[] = {WASM_I32_VAL(codes[i])};
    wasm_val_vec_t args = WASM_ARRAY_VEC(given), none = WASM_EMPTY_VEC;
    innkeeper_error_t* error;
    wasm_trap_t* trap = wasm_func_call(run, &args, &none);
    CHECK(trap != NULL && (error = innkeeper_trap_error(trap)) != NULL);
    int32_t status = 99;
    CHECK(innkeeper_error_exit_status(error, &status) && status == codes[i]);
    CHECK(innkeeper_error_kind(error) == INNKEEPER_ERROR_EXIT && innkeeper_error_trap_code(error) == INNKEEPER_TRAP_NONE);
    innkeeper_error_delete(error);
    wasm_trap_delete(trap);
  }
  CHECK(innkeeper_trap_new_exit(NULL, 3) == NULL);
  refused("null");
  wasm_func_delete(run);
  wasm_instance_delete(instance);
  CHECK(count == 0);
  wasm_store_delete(store);
  CHECK(count == 1);
}

/* What a callback's trap says is what the call's trap says, with bytes beyond ASCII and for as long as the trap is held. */
static wasm_trap_t* complain(void* env, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  (void)args, (void)results;
  wasm_message_t message;
  wasm_name_new_from_string_nt(&message, "d\xc3\xa9j\xc3\xa0 vu");
  wasm_trap_t* trap = wasm_trap_new(env, &message);
  wasm_byte_vec_delete(&message);
  return trap;
}

static void messages_stay(wasm_engine_t* engine) {
  wasm_store_t* store = wasm_store_new(engine);
  wasm_functype_t* type = wasm_functype_new_0_0();
  wasm_func_t* func = wasm_func_new_with_env(store, type, complain, store, NULL);
  wasm_functype_delete(type);
  wasm_module_t* module = module_of(engine, "(module (import \"\" \"\" (func $f)) (func $outer (export \"run\") (call $f)))");
  wasm_extern_t* imported[] = {wasm_func_as_extern(func)};
  wasm_extern_vec_t imports = WASM_ARRAY_VEC(imported);
  wasm_instance_t* instance = wasm_instance_new(store, module, &imports, NULL);
  wasm_module_delete(module);
  wasm_func_t* run = func_of(instance, "run");
  wasm_trap_t* traps[2] = {call(func), call(run)};
  wasm_func_delete(run);
  wasm_func_delete(func);
  wasm_instance_delete(instance);
  wasm_store_delete(store);
  for (size_t i = 0; i < 2; i++) {
    wasm_message_t message;
    wasm_frame_vec_t frames;
    wasm_trap_message(traps[i], &message);
    CHECK(strcmp(message.data, "d\xc3\xa9j\xc3\xa0 vu") == 0);
    wasm_trap_trace(traps[i], &frames);
    CHECK(frames.size == i);
    wasm_frame_vec_delete(&frames);
    wasm_byte_vec_delete(&message);
    wasm_trap_delete(traps[i]);
  }
}

static struct {
  wasm_store_t* store;
  wasm_module_t* module;
  innkeeper_linker_t* linker;
  innkeeper_instance_pre_t* prepared;
} given;

static void delete_given(void) {
  if (given.prepared) innkeeper_instance_pre_delete(given.prepared);
  innkeeper_linker_delete(given.linker);
  wasm_module_delete(given.module);
  wasm_store_delete(given.store);
}

static wasm_trap_t* delete_all(void* env, const innkeeper_caller_t* caller, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  delete_given();
  wasm_store_t* store = innkeeper_caller_store(caller);
  wasm_trap_t* trap = *(bool*)env ? complain(store, args, results) : NULL;
  wasm_store_delete(store);
  return trap;
}

/* A start function's callback deletes everything that the instantiation was given, and returns or traps; a finalizer deletes the store that is being collected. */
static void what_a_call_was_given_may_be_deleted_in_it(wasm_engine_t* engine) {
  for (int i = 0; i < 4; i++) {
    bool is_prepared = i & 1, traps = i & 2;
    given.store = wasm_store_new(engine);
    given.linker = innkeeper_linker_new(engine);
    given.prepared = NULL;
    wasm_functype_t* type = wasm_functype_new_0_0();
    done(innkeeper_linker_define_func(given.linker, "", "", type, delete_all, &traps, NULL));
    wasm_functype_delete(type);
    given.module = module_of(engine, "(module (import \"\" \"\" (func $f)) (func $start (call $f)) (start $start) (memory (export \"m\") 1))");
    wasm_instance_t* instance = NULL;
    innkeeper_error_t* error;
    if (is_prepared) {
      done(innkeeper_linker_instantiate_pre(given.linker, given.module, &given.prepared));
      error = innkeeper_instance_pre_instantiate(given.prepared, given.store, &instance);
    } else {
      error = innkeeper_linker_instantiate(given.linker, given.store, given.module, &instance);
    }
    CHECK((error != NULL) == traps && (instance == NULL) == traps);
    if (error) innkeeper_error_delete(error);
    if (instance) wasm_instance_delete(instance);
  }
}

static wasm_store_t* collected;

static void delete_collected(void* env) {
  ++*(int*)env;
  wasm_store_delete(collected);
}

static void a_store_may_be_deleted_by_a_finalizer(wasm_engine_t* engine) {
  collected = wasm_store_new(engine);
  int count = 0;
  wasm_foreign_t* object = wasm_foreign_new(collected);
  wasm_foreign_set_host_info_with_finalizer(object, &count, delete_collected);
  wasm_foreign_delete(object);
  if (count == 0) innkeeper_store_collect_garbage(collected);
  CHECK(count == 1);
}

/* Types and values that were made one by one, held, copied, and deleted where they are. */
static void types_and_values(wasm_engine_t* engine) {
  wasm_valtype_t* number = wasm_valtype_new(WASM_I64);
  wasm_valtype_t* copy = wasm_valtype_copy(number);
  wasm_functype_t* type = wasm_functype_new_1_1(number, wasm_valtype_new(WASM_EXTERNREF));
  CHECK(wasm_valtype_kind(wasm_functype_params(type)->data[0]) == WASM_I64);
  wasm_valtype_delete(copy);
  wasm_functype_delete(type);
  wasm_store_t* store = wasm_store_new(engine);
  wasm_foreign_t* object = wasm_foreign_new(store);
  wasm_foreign_set_host_info_with_finalizer(object, &finalized[0], finalize);
  wasm_val_t* value = malloc(sizeof *value);
  value->kind = WASM_EXTERNREF;
  value->of.ref = wasm_foreign_as_ref(object);
  wasm_val_t again;
  wasm_val_copy(&again, value);
  wasm_val_delete(value);
  free(value);
  CHECK(wasm_ref_get_host_info(again.of.ref) == &finalized[0] && finalized[0] == 0);
  wasm_val_delete(&again);
  wasm_val_t plain = WASM_F64_VAL(1.5);
  wasm_val_delete(&plain);
  wasm_val_vec_t values;
  wasm_val_vec_new_uninitialized(&values, 3);
  wasm_val_vec_delete(&values);
  wasm_store_delete(store);
  CHECK(finalized[0] == 1);
}

int main(void) {
  wasm_engine_t* engine = wasm_engine_new();
  finalizers_run_once(engine);
  functions_exit(engine);
  messages_stay(engine);
  what_a_call_was_given_may_be_deleted_in_it(engine);
  a_store_may_be_deleted_by_a_finalizer(engine);
  types_and_values(engine);
  wasm_engine_delete(engine);
  return 0;
}
