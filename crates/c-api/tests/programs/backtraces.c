/* Backtraces that a function of the program's asks for: of the call that it is in, and of calls further out. */
#include "check.h"

/* Which functions the frames are of, or none. */
static void are(wasm_frame_vec_t* frames, size_t count, const char* const names[]) {
  CHECK(frames->size == count);
  for (size_t i = 0; i < count; i++) {
    wasm_name_t name;
    CHECK(innkeeper_frame_func_name(frames->data[i], &name) && strcmp(name.data, names[i]) == 0);
    CHECK(wasm_frame_module_offset(frames->data[i]) > 0 && wasm_frame_instance(frames->data[i]) != NULL);
    wasm_name_delete(&name);
  }
  wasm_frame_vec_delete(frames);
}

static const char* const all[] = {"inner", "middle", "outer"};

static wasm_trap_t* look(void* env, const innkeeper_caller_t* caller, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  (void)args, (void)results;
  wasm_frame_vec_t frames;
  innkeeper_caller_backtrace(caller, &frames);
  are(&frames, 3, all);
  wasm_store_t* store = innkeeper_caller_store(caller);
  innkeeper_store_backtrace(store, &frames);
  are(&frames, 3, all);
  wasm_store_delete(store);
  ++*(int*)env;
  return NULL;
}

static wasm_trap_t* again(void* env, const innkeeper_caller_t* caller, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  (void)env, (void)args, (void)results;
  wasm_extern_t* inner = innkeeper_caller_export(caller, "inner");
  wasm_trap_t* trap = call(wasm_extern_as_func(inner));
  wasm_extern_delete(inner);
  wasm_frame_vec_t frames;
  innkeeper_caller_backtrace(caller, &frames);
  are(&frames, 2, all + 1);
  return trap;
}

int main(void) {
  wasm_engine_t* engine = wasm_engine_new();
  innkeeper_linker_t* linker = innkeeper_linker_new(engine);
  wasm_functype_t* type = wasm_functype_new_0_0();
  int looked = 0;
  done(innkeeper_linker_define_func(linker, "host", "look", type, look, &looked, NULL));
  done(innkeeper_linker_define_func(linker, "host", "again", type, again, NULL, NULL));
  wasm_functype_delete(type);
  wasm_module_t* module = module_of(engine,
    "(module (import \"host\" \"look\" (func $look)) (import \"host\" \"again\" (func $again))"
    " (func (export \"outer\") (call $middle)) (func $middle (call $again)) (func (export \"inner\") (call $look)))");
  wasm_store_t* store = wasm_store_new(engine);
  wasm_instance_t* instance;
  done(innkeeper_linker_instantiate(linker, store, module, &instance));
  wasm_func_t* outer = func_of(instance, "outer");
  trap_free(call(outer));
  CHECK(looked == 1);
  wasm_frame_vec_t frames;
  innkeeper_store_backtrace(store, &frames);
  are(&frames, 0, all);
  wasm_func_delete(outer);
  wasm_instance_delete(instance);
  wasm_module_delete(module);
  innkeeper_linker_delete(linker);
  wasm_store_delete(store);
  wasm_engine_delete(engine);
  return 0;
}
