/* innkeeper.h: what Innkeeper has beyond the standard wasm.h, on the same types: limits, time and fuel, linkers, keys for programs of WASI, errors with their causes.
 *
 * Ownership, null pointers, stores and threads are as in wasm.h. A function that gives an `innkeeper_error_t*` gives null where it has succeeded; otherwise the error is
 * the caller's to delete, and what would have been written through `out` is null. Text is UTF-8 and ends in a zero, also the text that comes in vectors, whose size counts
 * the zero. What is given to a function is lent to it, unless it is `own`. */
#ifndef INNKEEPER_H
#define INNKEEPER_H

#include "wasm.h"

#ifdef __cplusplus
extern "C" {
#endif

#define own

/* -- Errors ------------------------------------------------------------------------------------------------------------------ */

typedef struct innkeeper_error_t innkeeper_error_t;
WASM_API_EXTERN void innkeeper_error_delete(own innkeeper_error_t*);

/* Why the last function of this thread gave null, false or zero for a failure; null where none has since this was last asked. For functions of wasm.h, and those here that
 * give no error themselves. */
WASM_API_EXTERN own innkeeper_error_t* innkeeper_last_error(void);

/* What a trap tells, with the functions below. */
WASM_API_EXTERN own innkeeper_error_t* innkeeper_trap_error(const wasm_trap_t*);

typedef uint8_t innkeeper_error_kind_t;
enum innkeeper_error_kind_enum {
  /* The program's: a null pointer, an object of another store, a wrong type. */
  INNKEEPER_ERROR_USAGE = 0,
  /* The bytes are no valid module. */
  INNKEEPER_ERROR_MALFORMED = 1,
  /* The module wants something that the engine does not have. */
  INNKEEPER_ERROR_UNSUPPORTED = 2,
  /* An import is missing, or of another type. */
  INNKEEPER_ERROR_LINK = 3,
  /* A limit was reached. */
  INNKEEPER_ERROR_LIMIT = 4,
  /* The guest trapped: `innkeeper_error_trap_code`. */
  INNKEEPER_ERROR_TRAP = 5,
  /* The guest threw an exception that nothing caught. */
  INNKEEPER_ERROR_EXCEPTION = 6,
  /* A function of the host has failed, the program's or one of WASI. */
  INNKEEPER_ERROR_HOST = 7,
  /* What should be a serialized module is none, or not one for this engine. */
  INNKEEPER_ERROR_SERIALIZED = 8,
  /* The operating system has refused something. */
  INNKEEPER_ERROR_SYSTEM = 9,
  /* The guest has exited: `innkeeper_error_exit_status`. */
  INNKEEPER_ERROR_EXIT = 10
};
WASM_API_EXTERN innkeeper_error_kind_t innkeeper_error_kind(const innkeeper_error_t*);

/* A sentence. */
WASM_API_EXTERN void innkeeper_error_message(const innkeeper_error_t*, own wasm_message_t* out);
/* The sentence, its causes and the guest's frames, for people to read. */
WASM_API_EXTERN void innkeeper_error_report(const innkeeper_error_t*, own wasm_message_t* out);

/* What has caused it, outermost first. False where there are not so many. */
WASM_API_EXTERN size_t innkeeper_error_cause_count(const innkeeper_error_t*);
WASM_API_EXTERN bool innkeeper_error_cause(const innkeeper_error_t*, size_t index, own wasm_message_t* out);

/* Whether the guest has exited, by `proc_exit`, and with what: an exit ends a call as a trap does, also if the status is 0. */
WASM_API_EXTERN bool innkeeper_error_exit_status(const innkeeper_error_t*, int32_t* out);
/* What a function of the program's returns to end its guest as `proc_exit` does: for programs that have functions of their own in the place of WASI's. */
WASM_API_EXTERN own wasm_trap_t* innkeeper_trap_new_exit(const wasm_store_t*, int32_t status);

typedef uint8_t innkeeper_trap_code_t;
enum innkeeper_trap_code_enum {
  INNKEEPER_TRAP_NONE = 0,
  INNKEEPER_TRAP_UNREACHABLE = 1,
  INNKEEPER_TRAP_MEMORY_OUT_OF_BOUNDS = 2,
  INNKEEPER_TRAP_TABLE_OUT_OF_BOUNDS = 3,
  INNKEEPER_TRAP_NO_SUCH_ELEMENT = 4,
  INNKEEPER_TRAP_INDIRECT_CALL_TYPE = 5,
  INNKEEPER_TRAP_INTEGER_OVERFLOW = 6,
  INNKEEPER_TRAP_DIVIDED_BY_ZERO = 7,
  INNKEEPER_TRAP_NO_INTEGER = 8,
  INNKEEPER_TRAP_STACK_EXHAUSTED = 9,
  INNKEEPER_TRAP_INTERRUPTED = 10,
  INNKEEPER_TRAP_DEADLINE = 11,
  INNKEEPER_TRAP_OUT_OF_FUEL = 12,
  /* One that the message tells. */
  INNKEEPER_TRAP_OTHER = 255
};
WASM_API_EXTERN innkeeper_trap_code_t innkeeper_error_trap_code(const innkeeper_error_t*);

/* The guest's frames, innermost first. */
WASM_API_EXTERN void innkeeper_error_frames(const innkeeper_error_t*, own wasm_frame_vec_t* out);
/* False where they have no name. */
WASM_API_EXTERN bool innkeeper_frame_func_name(const wasm_frame_t*, own wasm_name_t* out);
WASM_API_EXTERN bool innkeeper_frame_module_name(const wasm_frame_t*, own wasm_name_t* out);
/* Where in the source, if the module has DWARF: the place itself with 0, then those that it was inlined into. 0 stands for an unknown line or column. */
WASM_API_EXTERN bool innkeeper_frame_source(const wasm_frame_t*, size_t index, own wasm_name_t* file, uint32_t* line, uint32_t* column);

/* -- Kinds of later versions of WebAssembly ---------------------------------------------------------------------------------- */

/* 128 bits: they can be in types, not in a `wasm_val_t`. */
#define INNKEEPER_V128 ((wasm_valkind_t)4)
/* References to objects of a guest's, and to exceptions. */
#define INNKEEPER_ANYREF ((wasm_valkind_t)130)
#define INNKEEPER_EXNREF ((wasm_valkind_t)131)
/* Tags of exceptions: they can be imported and exported. */
#define INNKEEPER_EXTERN_TAG ((wasm_externkind_t)4)

/* -- Configurations, limits -------------------------------------------------------------------------------------------------- */

/* Bounds on the guests of a store. Zero leaves a bound as it is: `innkeeper_limits_t limits = {0};` */
typedef struct innkeeper_limits_t {
  /* Bytes that guests can make the host hold, all together. */
  uint64_t memory_bytes;
  /* Bytes of one linear memory. */
  uint64_t memory_size;
  /* Elements of one table. */
  uint64_t table_elements;
  /* Bytes of all objects of garbage-collected types. */
  uint64_t heap_bytes;
  /* Bytes of the stack of interpreted functions. */
  uint64_t guest_stack_bytes;
  /* How many there may be. */
  uint64_t instances;
  uint64_t memories;
  uint64_t tables;
} innkeeper_limits_t;

/* For all stores of the engine that are made without limits of their own. */
WASM_API_EXTERN void innkeeper_config_set_limits(wasm_config_t*, const innkeeper_limits_t*);
/* Whether guests' instructions are counted: `innkeeper_store_set_fuel`. */
WASM_API_EXTERN void innkeeper_config_set_fuel(wasm_config_t*, bool metered);

typedef uint8_t innkeeper_tiers_t;
enum innkeeper_tiers_enum {
  /* Interpreted first; what is hot is compiled meanwhile. */
  INNKEEPER_TIERS_AUTO = 0,
  INNKEEPER_TIERS_INTERPRETER = 1,
  /* Compiled before anything runs. */
  INNKEEPER_TIERS_COMPILED = 2
};
WASM_API_EXTERN void innkeeper_config_set_tiers(wasm_config_t*, innkeeper_tiers_t);

/* -- Keys: what a program of WASI may reach ---------------------------------------------------------------------------------- */

/* New ones grant clocks and randomness only: no directory, no variable, no argument, an empty input, outputs that go nowhere. Functions that give a bool give false for text that is not UTF-8, and
 * for null. Keys are read when a store or a run begins. */
typedef struct innkeeper_keys_t innkeeper_keys_t;
WASM_API_EXTERN own innkeeper_keys_t* innkeeper_keys_new(void);
WASM_API_EXTERN void innkeeper_keys_delete(own innkeeper_keys_t*);

/* The program's name comes first. */
WASM_API_EXTERN bool innkeeper_keys_argument(innkeeper_keys_t*, const char* argument);
WASM_API_EXTERN bool innkeeper_keys_variable(innkeeper_keys_t*, const char* name, const char* value);

typedef uint8_t innkeeper_access_t;
enum innkeeper_access_enum {
  INNKEEPER_READ_ONLY = 0,
  INNKEEPER_READ_WRITE = 1,
  /* The guest sees its changes, and the directory stays as it is. */
  INNKEEPER_COPY_ON_WRITE = 2
};
WASM_API_EXTERN bool innkeeper_keys_directory(innkeeper_keys_t*, const char* host, const char* guest, innkeeper_access_t);
/* A directory in memory. */
WASM_API_EXTERN bool innkeeper_keys_temporary_directory(innkeeper_keys_t*, const char* guest, uint64_t limit_bytes);
/* A file in the directory in memory that was granted last, there from the start. */
WASM_API_EXTERN bool innkeeper_keys_temporary_file(innkeeper_keys_t*, const char* path, const wasm_byte_vec_t* contents);

WASM_API_EXTERN void innkeeper_keys_inherit_stdio(innkeeper_keys_t*);
WASM_API_EXTERN void innkeeper_keys_stdin_bytes(innkeeper_keys_t*, const wasm_byte_vec_t* bytes);

typedef uint8_t innkeeper_stream_t;
enum innkeeper_stream_enum { INNKEEPER_STDOUT = 1, INNKEEPER_STDERR = 2 };

/* Puts up to `size` bytes at `buffer` and says how many; 0 at the end, less than 0 where it cannot. */
typedef ptrdiff_t (*innkeeper_read_callback_t)(void* env, char* buffer, size_t size);
/* Takes all bytes, or gives false. */
typedef bool (*innkeeper_write_callback_t)(void* env, const char* bytes, size_t size);

/* They are called on the guest's thread, one at a time. A guest that a callback runs with the same keys gets an error from the same stream. The finalizer may be null; it gets `env` when neither keys nor guests need it any more. */
WASM_API_EXTERN void innkeeper_keys_stdin_callback(innkeeper_keys_t*, innkeeper_read_callback_t, void* env, void (*finalizer)(void*));
WASM_API_EXTERN void innkeeper_keys_output_callback(
  innkeeper_keys_t*, innkeeper_stream_t, innkeeper_write_callback_t, void* env, void (*finalizer)(void*));
WASM_API_EXTERN bool innkeeper_keys_output_file(innkeeper_keys_t*, innkeeper_stream_t, const char* path, bool appends);

/* Output that is kept in memory, up to a number of bytes. */
typedef struct innkeeper_capture_t innkeeper_capture_t;
WASM_API_EXTERN own innkeeper_capture_t* innkeeper_keys_capture_output(innkeeper_keys_t*, innkeeper_stream_t, size_t capacity);
/* What has been written so far; no zero is added. */
WASM_API_EXTERN void innkeeper_capture_contents(const innkeeper_capture_t*, own wasm_byte_vec_t* out);
WASM_API_EXTERN void innkeeper_capture_delete(own innkeeper_capture_t*);

/* Clocks and randomness that are the same in every run. */
WASM_API_EXTERN void innkeeper_keys_deterministic(innkeeper_keys_t*, uint64_t seed);

/* -- Modules without a store ------------------------------------------------------------------------------------------------- */

/* They are good in all stores of the engine, and belong to none. Of the binary or the text format. */
WASM_API_EXTERN own innkeeper_error_t* innkeeper_module_new(const wasm_engine_t*, const wasm_byte_vec_t*, own wasm_module_t** out);
WASM_API_EXTERN own innkeeper_error_t* innkeeper_module_from_file(const wasm_engine_t*, const char* path, own wasm_module_t** out);
/* As `wasm_module_deserialize`. */
WASM_API_EXTERN own innkeeper_error_t* innkeeper_module_deserialize(const wasm_engine_t*, const wasm_byte_vec_t*, own wasm_module_t** out);
/* The module in the binary format, also where it came as text. */
WASM_API_EXTERN void innkeeper_module_bytes(const wasm_module_t*, own wasm_byte_vec_t* out);

/* Runs a program of WASI to its end, in a store of its own, with these keys or, if null, none; its exit status is written where it ends by itself. */
WASM_API_EXTERN own innkeeper_error_t* innkeeper_run(const wasm_module_t*, const innkeeper_keys_t*, int32_t* exit_status);

/* -- Stores: limits, keys, time, fuel ---------------------------------------------------------------------------------------- */

/* With limits and keys; either may be null. */
WASM_API_EXTERN own innkeeper_error_t* innkeeper_store_new(
  wasm_engine_t*, const innkeeper_limits_t*, const innkeeper_keys_t*, own wasm_store_t** out);
/* The store of a function, a memory, and so on. */
WASM_API_EXTERN own wasm_store_t* innkeeper_object_store(const wasm_ref_t*);

#define INNKEEPER_NO_LIMIT UINT64_MAX
/* Guests of the store trap when so much time from now has passed, and all that are called after that, at once, until this is
 * called again: for a time of its own for each call, call it before each. INNKEEPER_NO_LIMIT lifts it. Not while a guest runs. */
WASM_API_EXTERN own innkeeper_error_t* innkeeper_store_set_deadline(wasm_store_t*, uint64_t nanoseconds);
/* The same, of the processor's time that guests use, with what they call. */
WASM_API_EXTERN own innkeeper_error_t* innkeeper_store_set_processor_time(wasm_store_t*, uint64_t nanoseconds);
/* One unit an instruction; without any left guests trap. Only with `innkeeper_config_set_fuel`. */
WASM_API_EXTERN own innkeeper_error_t* innkeeper_store_set_fuel(wasm_store_t*, uint64_t units);
WASM_API_EXTERN own innkeeper_error_t* innkeeper_store_fuel(const wasm_store_t*, uint64_t* out);
/* Objects of garbage-collected types that nothing refers to, and foreign objects. Otherwise done now and then. */
WASM_API_EXTERN void innkeeper_store_collect_garbage(wasm_store_t*);

/* In a function that a guest has called: the guest's frames that have led there, as above. Outside there are none. */
WASM_API_EXTERN void innkeeper_store_backtrace(const wasm_store_t*, own wasm_frame_vec_t* out);

/* What a guest of WASI has left, while it runs and afterwards, in directories in memory and in those that are copied on writing, by the guest's name for the directory.
 * A file's bytes; an error where there are more than `max_bytes`, since files with holes can be of any size. */
WASM_API_EXTERN own innkeeper_error_t* innkeeper_store_read_file(
  const wasm_store_t*, const char* directory, const char* path, uint64_t max_bytes, own wasm_byte_vec_t* out);
/* Gives false to hear of no more. */
typedef bool (*innkeeper_file_callback_t)(void* env, const char* path);
/* Calls the function with the path of each file, in order: all of a directory in memory, those that the guest has made or changed in one that is copied on writing. */
WASM_API_EXTERN own innkeeper_error_t* innkeeper_store_files(const wasm_store_t*, const char* directory, innkeeper_file_callback_t, void* env);
/* What was denied to the guest so far, a line for each thing; only of a store with keys. */
WASM_API_EXTERN own innkeeper_error_t* innkeeper_store_denials(const wasm_store_t*, own wasm_message_t* out);

/* Stops the guest that runs, or the next one to run, from any thread. The handle may outlive its store. */
typedef struct innkeeper_interrupt_t innkeeper_interrupt_t;
WASM_API_EXTERN own innkeeper_interrupt_t* innkeeper_store_interrupt(const wasm_store_t*);
WASM_API_EXTERN void innkeeper_interrupt_stop(const innkeeper_interrupt_t*);
WASM_API_EXTERN void innkeeper_interrupt_delete(own innkeeper_interrupt_t*);

/* -- Linkers ----------------------------------------------------------------------------------------------------------------- */

/* What modules find by name. A linker is used by one thread at a time while something is defined in it, and by any number afterwards. */
typedef struct innkeeper_linker_t innkeeper_linker_t;
WASM_API_EXTERN own innkeeper_linker_t* innkeeper_linker_new(const wasm_engine_t*);
WASM_API_EXTERN void innkeeper_linker_delete(own innkeeper_linker_t*);
/* Whether a name can be defined again; otherwise that is an error. */
WASM_API_EXTERN void innkeeper_linker_allow_shadowing(innkeeper_linker_t*, bool allow);

/* Something of a store, for that store. */
WASM_API_EXTERN own innkeeper_error_t* innkeeper_linker_define(innkeeper_linker_t*, const char* module, const char* name, const wasm_extern_t*);
/* All exports of an instance, as a module of that name. */
WASM_API_EXTERN own innkeeper_error_t* innkeeper_linker_define_instance(innkeeper_linker_t*, const char* name, const wasm_instance_t*);
/* The functions of WASI 0.1. What they reach is said by the keys of the store. */
WASM_API_EXTERN own innkeeper_error_t* innkeeper_linker_define_wasi(innkeeper_linker_t*);
/* What a module imports and the linker does not have: functions that trap when they are called. */
WASM_API_EXTERN own innkeeper_error_t* innkeeper_linker_define_unknown_as_traps(innkeeper_linker_t*, const wasm_module_t*);

/* Who has called, for the call. */
typedef struct innkeeper_caller_t innkeeper_caller_t;
/* As `wasm_func_callback_with_env_t`, with the caller. */
typedef own wasm_trap_t* (*innkeeper_func_callback_t)(
  void* env, const innkeeper_caller_t*, const wasm_val_vec_t* args, own wasm_val_vec_t* results);
/* A function for all stores of the engine. If they run on several threads, so does it. The finalizer may be null; it gets `env` when neither the linker nor a store needs the function any more, and if it is not defined. */
WASM_API_EXTERN own innkeeper_error_t* innkeeper_linker_define_func(
  innkeeper_linker_t*, const char* module, const char* name, const wasm_functype_t*, innkeeper_func_callback_t, void* env,
  void (*finalizer)(void*));

/* An export of the instance that has called, such as its memory. Null where it has none of that name. */
WASM_API_EXTERN own wasm_extern_t* innkeeper_caller_export(const innkeeper_caller_t*, const char* name);
WASM_API_EXTERN own wasm_instance_t* innkeeper_caller_instance(const innkeeper_caller_t*);
/* The guest's frames that have led to the call, innermost first; those of calls further out are among them. */
WASM_API_EXTERN void innkeeper_caller_backtrace(const innkeeper_caller_t*, own wasm_frame_vec_t* out);
WASM_API_EXTERN own wasm_store_t* innkeeper_caller_store(const innkeeper_caller_t*);

WASM_API_EXTERN own innkeeper_error_t* innkeeper_linker_instantiate(
  const innkeeper_linker_t*, wasm_store_t*, const wasm_module_t*, own wasm_instance_t** out);

/* A module whose imports are found once, to be instantiated often, in many stores. */
typedef struct innkeeper_instance_pre_t innkeeper_instance_pre_t;
WASM_API_EXTERN own innkeeper_error_t* innkeeper_linker_instantiate_pre(
  const innkeeper_linker_t*, const wasm_module_t*, own innkeeper_instance_pre_t** out);
WASM_API_EXTERN own innkeeper_error_t* innkeeper_instance_pre_instantiate(
  const innkeeper_instance_pre_t*, wasm_store_t*, own wasm_instance_t** out);
WASM_API_EXTERN void innkeeper_instance_pre_delete(own innkeeper_instance_pre_t*);

/* An export by its name. Null where there is none. */
WASM_API_EXTERN own wasm_extern_t* innkeeper_instance_export(const wasm_instance_t*, const char* name);

#undef own

#ifdef __cplusplus
}
#endif

#endif
