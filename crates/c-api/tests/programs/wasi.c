/* Programs of WASI: keys, streams of the program's, exit status, functions of the host with their caller at hand. */
#include "check.h"

/* Copies its input to its output, then a file of its directory; exits with what a function of the host gives for its memory. */
static const char* program =
  "(module"
  " (import \"wasi_snapshot_preview1\" \"fd_read\" (func $read (param i32 i32 i32 i32) (result i32)))"
  " (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))"
  " (import \"wasi_snapshot_preview1\" \"path_open\" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"
  " (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))"
  " (import \"host\" \"sum\" (func $sum (param i32 i32) (result i32)))"
  " (memory (export \"memory\") 1) (data (i32.const 64) \"greeting\")"
  " (func $copy (param $from i32)"
  "  (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 4096))"
  "  (drop (call $read (local.get $from) (i32.const 0) (i32.const 1) (i32.const 4)))"
  "  (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))"
  " (func (export \"_start\")"
  "  (call $copy (i32.const 0))"
  "  (if (i32.eqz (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 8) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16)))"
  "   (then (call $copy (i32.load (i32.const 16)))))"
  "  (call $exit (call $sum (i32.const 64) (i32.const 2)))))";

static int finalized = 0;
static void finalize(void* env) {
  (void)env;
  finalized++;
}

static wasm_trap_t* sum(void* env, const innkeeper_caller_t* caller, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  CHECK(env == &finalized);
  wasm_extern_t* memory = innkeeper_caller_export(caller, "memory");
  CHECK(innkeeper_caller_export(caller, "nothing") == NULL);
  wasm_instance_t* instance = innkeeper_caller_instance(caller);
  wasm_store_t* store = innkeeper_caller_store(caller);
  CHECK(instance != NULL && store != NULL);
  const byte_t* bytes = wasm_memory_data(wasm_extern_as_memory(memory)) + args->data[0].of.i32;
  int32_t total = 0;
  for (int32_t i = 0; i < args->data[1].of.i32; i++) total += bytes[i];
  results->data[0].of.i32 = total - ('g' + 'r') + 5;
  wasm_extern_delete(memory);
  wasm_instance_delete(instance);
  wasm_store_delete(store);
  return NULL;
}

static ptrdiff_t give(void* env, char* buffer, size_t size) {
  int* times = env;
  CHECK(size >= 6);
  if ((*times)++ > 0) return 0;
  memcpy(buffer, "input\n", 6);
  return 6;
}

typedef struct {
  char bytes[64];
  size_t size;
} written_t;

static bool take(void* env, const char* bytes, size_t size) {
  written_t* written = env;
  CHECK(written->size + size <= sizeof written->bytes);
  memcpy(written->bytes + written->size, bytes, size);
  written->size += size;
  return true;
}

static int paths_seen = 0;
static bool see_path(void* env, const char* path) {
  wasm_store_t* store = env;
  wasm_byte_vec_t bytes;
  done(innkeeper_store_read_file(store, "/", path, 6, &bytes));
  CHECK(strcmp(path, "greeting") == 0 && bytes.size == 6 && memcmp(bytes.data, "hello\n", 6) == 0);
  wasm_byte_vec_delete(&bytes);
  paths_seen++;
  return true;
}

/* What a guest has left with its store, and that asking for anything else is an error. */
static void look_back(wasm_store_t* store) {
  done(innkeeper_store_files(store, "/", see_path, store));
  CHECK(paths_seen == 1);
  paths_seen = 0;
  wasm_byte_vec_t bytes;
  failed(innkeeper_store_read_file(store, "/", "greeting", 5, &bytes), INNKEEPER_ERROR_HOST, "greeting");
  CHECK(bytes.data == NULL);
  failed(innkeeper_store_read_file(store, "/", "../up", 5, &bytes), INNKEEPER_ERROR_HOST, "up");
  failed(innkeeper_store_read_file(store, "/else", "greeting", 5, &bytes), INNKEEPER_ERROR_USAGE, "/else");
  failed(innkeeper_store_files(store, "/", NULL, NULL), INNKEEPER_ERROR_USAGE, "function");
  wasm_message_t denials;
  done(innkeeper_store_denials(store, &denials));
  CHECK(denials.size == 1 && denials.data[0] == 0);
  wasm_byte_vec_delete(&denials);
}

/* A program that wants to go out of its directory. */
static void denied(wasm_engine_t* engine) {
  wasm_module_t* module = module_of(engine,
    "(module (import \"wasi_snapshot_preview1\" \"path_unlink_file\" (func $unlink (param i32 i32 i32) (result i32)))"
    " (memory (export \"memory\") 1) (data (i32.const 0) \"../up\")"
    " (func (export \"_start\") (drop (call $unlink (i32.const 3) (i32.const 0) (i32.const 5))) unreachable))");
  innkeeper_linker_t* linker = innkeeper_linker_new(engine);
  done(innkeeper_linker_define_wasi(linker));
  innkeeper_keys_t* keys = innkeeper_keys_new();
  CHECK(innkeeper_keys_temporary_directory(keys, "/in", 1 << 20));
  wasm_store_t* store;
  done(innkeeper_store_new(engine, NULL, keys, &store));
  innkeeper_keys_delete(keys);
  wasm_instance_t* instance;
  done(innkeeper_linker_instantiate(linker, store, module, &instance));
  wasm_func_t* start = func_of(instance, "_start");
  wasm_trap_delete(call(start));
  wasm_message_t denials;
  done(innkeeper_store_denials(store, &denials));
  CHECK(strstr(denials.data, "../up") != NULL && denials.data[denials.size - 1] == 0);
  wasm_byte_vec_delete(&denials);
  wasm_func_delete(start);
  wasm_instance_delete(instance);
  wasm_store_delete(store);
  innkeeper_linker_delete(linker);
  wasm_module_delete(module);
  store = wasm_store_new(engine);
  failed(innkeeper_store_denials(store, &denials), INNKEEPER_ERROR_USAGE, "keys");
  wasm_store_delete(store);
}

typedef struct { const wasm_module_t* module; const innkeeper_keys_t* keys; int32_t inner; int times; } again_t;
static bool run_again(void* env, const char* bytes, size_t size) {
  (void)bytes, (void)size;
  again_t* again = env;
  again->times++;
  done(innkeeper_run(again->module, again->keys, &again->inner));
  return true;
}

/* A program that a callback for its output runs with the same keys: it does not wait for the callback that it is in. */
static void reentered(wasm_engine_t* engine) {
  wasm_module_t* module = module_of(engine,
    "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))"
    " (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))"
    " (memory (export \"memory\") 1) (data (i32.const 0) \"\\08\\00\\00\\00\\03\\00\\00\\00abc\")"
    " (func (export \"_start\") (call $exit (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))");
  innkeeper_keys_t* keys = innkeeper_keys_new();
  again_t again = {module, keys, -1, 0};
  innkeeper_keys_output_callback(keys, INNKEEPER_STDOUT, run_again, &again, NULL);
  int32_t status = -1;
  done(innkeeper_run(module, keys, &status));
  /* 16 is `deadlk`. */
  CHECK(status == 0 && again.inner == 16 && again.times == 1);
  innkeeper_keys_delete(keys);
  wasm_module_delete(module);
}

int main(void) {
  wasm_engine_t* engine = wasm_engine_new();
  innkeeper_linker_t* linker = innkeeper_linker_new(engine);
  done(innkeeper_linker_define_wasi(linker));
  failed(innkeeper_linker_define_wasi(linker), INNKEEPER_ERROR_LINK, "wasi");
  wasm_functype_t* type = wasm_functype_new_2_1(wasm_valtype_new_i32(), wasm_valtype_new_i32(), wasm_valtype_new_i32());
  done(innkeeper_linker_define_func(linker, "host", "sum", type, sum, &finalized, finalize));
  innkeeper_error_t* twice = innkeeper_linker_define_func(linker, "host", "sum", type, sum, &finalized, finalize);
  failed(twice, INNKEEPER_ERROR_LINK, "sum");
  CHECK(finalized == 1);
  wasm_functype_delete(type);

  wasm_module_t* module = module_of(engine, program);
  innkeeper_instance_pre_t* prepared;
  done(innkeeper_linker_instantiate_pre(linker, module, &prepared));
  innkeeper_linker_delete(linker);
  for (int round = 0; round < 2; round++) {
    int times = 0;
    written_t written = {{0}, 0};
    innkeeper_keys_t* keys = innkeeper_keys_new();
    CHECK(innkeeper_keys_argument(keys, "program") && innkeeper_keys_variable(keys, "LANG", "C"));
    innkeeper_keys_stdin_callback(keys, give, &times, NULL);
    innkeeper_keys_output_callback(keys, INNKEEPER_STDOUT, take, &written, NULL);
    CHECK(innkeeper_keys_temporary_directory(keys, "/", 1 << 20));
    wasm_byte_vec_t contents;
    wasm_name_new_from_string(&contents, "hello\n");
    CHECK(innkeeper_keys_temporary_file(keys, "greeting", &contents));
    wasm_byte_vec_delete(&contents);
    wasm_store_t* store;
    done(innkeeper_store_new(engine, NULL, keys, &store));
    innkeeper_keys_delete(keys);
    wasm_instance_t* instance;
    done(innkeeper_instance_pre_instantiate(prepared, store, &instance));
    wasm_func_t* start = func_of(instance, "_start");
    wasm_trap_t* trap = call(start);
    innkeeper_error_t* error = innkeeper_trap_error(trap);
    int32_t status = 0;
    CHECK(innkeeper_error_exit_status(error, &status) && status == 5 && innkeeper_error_kind(error) == INNKEEPER_ERROR_EXIT);
    CHECK(written.size == 12 && memcmp(written.bytes, "input\nhello\n", 12) == 0);
    innkeeper_error_delete(error);
    wasm_trap_delete(trap);
    look_back(store);
    wasm_func_delete(start);
    wasm_instance_delete(instance);
    wasm_store_delete(store);
  }
  innkeeper_instance_pre_delete(prepared);
  wasm_module_delete(module);
  CHECK(finalized == 2);

  /* A whole program in one call. Without a key it has no input. */
  module = module_of(engine,
    "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))"
    " (memory (export \"memory\") 1) (data (i32.const 0) \"\\08\\00\\00\\00\\03\\00\\00\\00abc\")"
    " (func (export \"_start\") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))");
  innkeeper_keys_t* keys = innkeeper_keys_new();
  innkeeper_capture_t* capture = innkeeper_keys_capture_output(keys, INNKEEPER_STDOUT, 1024);
  int32_t status = -1;
  done(innkeeper_run(module, keys, &status));
  wasm_byte_vec_t output;
  innkeeper_capture_contents(capture, &output);
  CHECK(status == 0 && output.size == 3 && memcmp(output.data, "abc", 3) == 0);
  wasm_byte_vec_delete(&output);
  innkeeper_capture_delete(capture);
  innkeeper_keys_delete(keys);
  wasm_module_delete(module);
  denied(engine);
  reentered(engine);
  wasm_engine_delete(engine);
  return 0;
}
