/* What cannot be done is refused, with a reason: null pointers, objects of other stores or kinds, two threads in one store. */
#include <pthread.h>

#include "check.h"

static wasm_func_t* spin;
static int is_in = 0;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void* other_thread(void* store) {
  pthread_mutex_lock(&lock);
  while (is_in == 0) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
  wasm_trap_t* trap = call(spin);
  failed(innkeeper_trap_error(trap), INNKEEPER_ERROR_USAGE, "in use");
  wasm_trap_delete(trap);
  failed(innkeeper_store_set_deadline(store, 1), INNKEEPER_ERROR_USAGE, "running a guest");
  pthread_mutex_lock(&lock);
  is_in = 2;
  pthread_cond_signal(&changed);
  pthread_mutex_unlock(&lock);
  return NULL;
}

/* Lets the other thread try while this one is inside. */
static wasm_trap_t* wait_for_other(const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  (void)args, (void)results;
  pthread_mutex_lock(&lock);
  is_in = 1;
  pthread_cond_signal(&changed);
  while (is_in == 1) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
  return NULL;
}

static void nulls(wasm_engine_t* engine, wasm_store_t* store) {
  CHECK(wasm_store_new(NULL) == NULL);
  refused("the engine is missing");
  CHECK(innkeeper_last_error() == NULL);
  CHECK(wasm_module_new(store, NULL) == NULL && wasm_module_new(NULL, NULL) == NULL);
  CHECK(!wasm_module_validate(store, NULL));
  CHECK(wasm_func_new(store, NULL, NULL) == NULL && wasm_func_type(NULL) == NULL && wasm_func_param_arity(NULL) == 0);
  CHECK(wasm_global_new(store, NULL, NULL) == NULL && wasm_table_new(store, NULL, NULL) == NULL);
  CHECK(wasm_memory_new(store, NULL) == NULL && wasm_memory_data(NULL) == NULL && wasm_memory_size(NULL) == 0);
  CHECK(wasm_instance_new(store, NULL, NULL, NULL) == NULL);
  wasm_functype_t* nothing = wasm_functype_new(NULL, NULL);
  CHECK(nothing != NULL && wasm_functype_params(nothing)->size == 0);
  wasm_functype_delete(nothing);
  CHECK(wasm_ref_copy(NULL) == NULL && wasm_ref_same(NULL, NULL) && wasm_ref_as_func(NULL) == NULL);
  CHECK(wasm_func_as_extern(NULL) == NULL && wasm_ref_get_host_info(NULL) == NULL);
  wasm_trap_t* trap = wasm_func_call(NULL, NULL, NULL);
  failed(innkeeper_trap_error(trap), INNKEEPER_ERROR_USAGE, "the function is missing");
  wasm_trap_delete(trap);
  wasm_func_delete(NULL);
  wasm_byte_vec_delete(NULL);
  wasm_val_delete(NULL);
  wasm_global_get(NULL, NULL);
  wasm_trap_message(NULL, NULL);
  innkeeper_keys_t* keys = innkeeper_keys_new();
  CHECK(!innkeeper_keys_argument(keys, NULL) && !innkeeper_keys_argument(NULL, "a"));
  CHECK(!innkeeper_keys_argument(keys, "\xff"));
  refused("UTF-8");
  CHECK(!innkeeper_keys_directory(keys, "/", "/", 9) && !innkeeper_keys_temporary_file(keys, "f", NULL));
  innkeeper_keys_delete(keys);
  /* What nobody wants is deleted. */
  done(innkeeper_store_new(engine, NULL, NULL, NULL));
  wasm_foreign_t* foreign = wasm_foreign_new(store);
  wasm_val_t value = WASM_REF_VAL(wasm_foreign_as_ref(foreign));
  wasm_val_copy(NULL, &value);
  wasm_valtype_vec_new_uninitialized(NULL, 3);
  wasm_foreign_delete(foreign);
  failed(innkeeper_store_new(NULL, NULL, NULL, &store), INNKEEPER_ERROR_USAGE, "the engine");
  failed(innkeeper_linker_instantiate(NULL, NULL, NULL, NULL), INNKEEPER_ERROR_USAGE, "the linker");
  failed(innkeeper_run(NULL, NULL, NULL), INNKEEPER_ERROR_USAGE, "the module");
}

/* A trap that is made of nothing: null would mean that the function has succeeded. */
static wasm_trap_t* fail(const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  (void)args, (void)results;
  return wasm_trap_new(NULL, NULL);
}

static void traps_of_nothing(wasm_store_t* store) {
  wasm_functype_t* type = wasm_functype_new_0_0();
  wasm_func_t* func = wasm_func_new(store, type, fail);
  wasm_trap_t* trap = call(func);
  CHECK(trap != NULL);
  wasm_message_t message;
  wasm_trap_message(trap, &message);
  CHECK(strcmp(message.data, "a trap without a message") == 0);
  wasm_byte_vec_delete(&message);
  wasm_trap_delete(trap);
  wasm_func_delete(func);
  wasm_functype_delete(type);
}

static void foreign_stores(wasm_engine_t* engine, wasm_store_t* store) {
  wasm_store_t* other = wasm_store_new(engine);
  const char* text = "(module (import \"\" \"f\" (func)) (table (export \"t\") 1 funcref))";
  wasm_functype_t* type = wasm_functype_new_0_0();
  wasm_func_t *func = wasm_func_new(store, type, wait_for_other), *others = wasm_func_new(other, type, wait_for_other);
  wasm_functype_delete(type);
  wasm_module_t* module = module_of(engine, text);
  wasm_extern_t* items[] = {wasm_func_as_extern(others)};
  wasm_extern_vec_t imports = WASM_ARRAY_VEC(items);
  wasm_trap_t* trap;
  CHECK(wasm_instance_new(store, module, &imports, &trap) == NULL);
  failed(innkeeper_trap_error(trap), INNKEEPER_ERROR_USAGE, "another store");
  wasm_trap_delete(trap);
  items[0] = NULL;
  CHECK(wasm_instance_new(store, module, &imports, NULL) == NULL);
  refused("import 0 is null");
  items[0] = wasm_func_as_extern(func);
  wasm_instance_t* instance = wasm_instance_new(store, module, &imports, NULL);
  wasm_extern_t* table = innkeeper_instance_export(instance, "t");
  CHECK(!wasm_table_set(wasm_extern_as_table(table), 0, wasm_func_as_ref(others)));
  refused("another store");
  CHECK(!wasm_table_set(wasm_extern_as_table(table), 0, wasm_instance_as_ref(instance)));
  refused("none to");
  CHECK(innkeeper_instance_export(instance, "u") == NULL);
  refused("exports no `u`");
  CHECK(wasm_ref_as_func(wasm_extern_as_ref(table)) == NULL);
  wasm_engine_t* another = wasm_engine_new();
  wasm_shared_module_t* shared = wasm_module_share(module);
  wasm_store_t* far = wasm_store_new(another);
  CHECK(wasm_module_obtain(far, shared) == NULL);
  refused("another engine");
  imports.size = 0;
  CHECK(wasm_instance_new(far, module, &imports, &trap) == NULL);
  wasm_trap_delete(trap);
  wasm_shared_module_delete(shared);
  wasm_store_delete(far);
  wasm_engine_delete(another);
  wasm_extern_delete(table);
  wasm_instance_delete(instance);
  wasm_module_delete(module);
  wasm_func_delete(func);
  wasm_func_delete(others);
  wasm_store_delete(other);
}

int main(void) {
  wasm_engine_t* engine = wasm_engine_new();
  wasm_store_t* store = wasm_store_new(engine);
  nulls(engine, store);
  foreign_stores(engine, store);
  traps_of_nothing(store);

  wasm_functype_t* type = wasm_functype_new_0_0();
  spin = wasm_func_new(store, type, wait_for_other);
  wasm_functype_delete(type);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, other_thread, store) == 0);
  trap_free(call(spin));
  pthread_join(thread, NULL);
  wasm_func_delete(spin);
  wasm_store_delete(store);
  wasm_engine_delete(engine);
  return 0;
}
