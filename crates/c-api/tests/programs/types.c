/* Vectors and types: what is made, copied, seen as something else, and read from modules. */
#include "check.h"

static void vectors(void) {
  wasm_byte_vec_t bytes, copy, empty;
  wasm_byte_vec_new(&bytes, 3, "abc");
  wasm_byte_vec_copy(&copy, &bytes);
  bytes.data[0] = 'x';
  CHECK(copy.size == 3 && memcmp(copy.data, "abc", 3) == 0);
  wasm_byte_vec_delete(&bytes);
  CHECK(bytes.size == 0 && bytes.data == NULL);
  wasm_byte_vec_delete(&bytes);
  wasm_byte_vec_delete(&copy);
  wasm_byte_vec_new_empty(&empty);
  CHECK(empty.size == 0);
  wasm_byte_vec_delete(&empty);
  wasm_name_new_from_string_nt(&bytes, "name");
  CHECK(bytes.size == 5);
  wasm_name_delete(&bytes);

  /* One that was filled halfway. */
  wasm_valtype_vec_t types, types_copy;
  wasm_valtype_vec_new_uninitialized(&types, 4);
  types.data[1] = wasm_valtype_new_f64();
  wasm_valtype_vec_copy(&types_copy, &types);
  CHECK(types_copy.data[0] == NULL && wasm_valtype_kind(types_copy.data[1]) == WASM_F64);
  CHECK(types_copy.data[1] != types.data[1]);
  wasm_valtype_vec_delete(&types);
  wasm_valtype_vec_delete(&types_copy);
  wasm_valtype_vec_new_uninitialized(&types, SIZE_MAX / 2);
  CHECK(types.size == 0 && types.data == NULL);
}

static void of_values(void) {
  const wasm_valkind_t kinds[] = {WASM_I32, WASM_I64, WASM_F32, WASM_F64, INNKEEPER_V128, WASM_EXTERNREF, WASM_FUNCREF, INNKEEPER_ANYREF, INNKEEPER_EXNREF};
  for (size_t i = 0; i < sizeof kinds; i++) {
    wasm_valtype_t* type = wasm_valtype_new(kinds[i]);
    wasm_valtype_t* copy = wasm_valtype_copy(type);
    CHECK(wasm_valtype_kind(copy) == kinds[i]);
    CHECK(wasm_valtype_is_ref(type) == (i >= 5) && wasm_valtype_is_num(type) == (i < 5));
    wasm_valtype_delete(type);
    wasm_valtype_delete(copy);
  }
  CHECK(wasm_valtype_new(77) == NULL);
  refused("no kind 77");
}

static void of_items(void) {
  wasm_functype_t* func = wasm_functype_new_2_1(wasm_valtype_new_i32(), wasm_valtype_new_i64(), wasm_valtype_new_funcref());
  wasm_externtype_t* seen = wasm_functype_as_externtype(func);
  CHECK(wasm_externtype_kind(seen) == WASM_EXTERN_FUNC);
  CHECK(wasm_externtype_as_functype(seen) == func && wasm_externtype_as_globaltype(seen) == NULL);
  wasm_functype_t* copy = wasm_functype_copy(func);
  wasm_functype_delete(func);
  CHECK(wasm_functype_params(copy)->size == 2 && wasm_functype_results(copy)->size == 1);
  CHECK(wasm_valtype_kind(wasm_functype_params(copy)->data[1]) == WASM_I64);
  wasm_functype_delete(copy);

  wasm_globaltype_t* global = wasm_globaltype_new(wasm_valtype_new_f32(), WASM_VAR);
  CHECK(wasm_globaltype_mutability(global) == WASM_VAR && wasm_valtype_kind(wasm_globaltype_content(global)) == WASM_F32);
  wasm_globaltype_delete(global);

  const wasm_limits_t limits = {1, 3}, open = {2, wasm_limits_max_default};
  wasm_tabletype_t* table = wasm_tabletype_new(wasm_valtype_new_externref(), &limits);
  CHECK(wasm_tabletype_limits(table)->max == 3 && wasm_valtype_kind(wasm_tabletype_element(table)) == WASM_EXTERNREF);
  wasm_tabletype_delete(table);
  CHECK(wasm_tabletype_new(wasm_valtype_new_i32(), &limits) == NULL);
  refused("references");
  wasm_memorytype_t* memory = wasm_memorytype_new(&open);
  CHECK(wasm_memorytype_limits(memory)->min == 2 && wasm_memorytype_limits(memory)->max == wasm_limits_max_default);

  wasm_name_t module, name;
  wasm_name_new_from_string(&module, "env");
  wasm_name_new_from_string(&name, "memory");
  wasm_importtype_t* import = wasm_importtype_new(&module, &name, wasm_memorytype_as_externtype(memory));
  wasm_importtype_t* import_copy = wasm_importtype_copy(import);
  wasm_importtype_delete(import);
  CHECK(wasm_importtype_module(import_copy)->size == 3 && wasm_importtype_name(import_copy)->size == 6);
  CHECK(wasm_externtype_kind(wasm_importtype_type(import_copy)) == WASM_EXTERN_MEMORY);
  wasm_importtype_delete(import_copy);
}

static void of_modules(void) {
  wasm_engine_t* engine = wasm_engine_new();
  wasm_module_t* module = module_of(engine,
    "(module (type $f (func)) (import \"a\" \"b\" (func (param externref) (result v128)))"
    " (tag (export \"tag\") (param i32)) (global (export \"typed\") (mut (ref null $f)) (ref.null $f))"
    " (global (export \"any\") anyref (ref.null any)) (memory (export \"big\") i64 1 0x100000000))");
  wasm_importtype_vec_t imports;
  wasm_exporttype_vec_t exports;
  wasm_module_imports(module, &imports);
  wasm_module_exports(module, &exports);
  CHECK(imports.size == 1 && exports.size == 4);
  const wasm_functype_t* func = wasm_externtype_as_functype_const(wasm_importtype_type(imports.data[0]));
  CHECK(wasm_valtype_kind(wasm_functype_results(func)->data[0]) == INNKEEPER_V128);
  CHECK(wasm_externtype_kind(wasm_exporttype_type(exports.data[0])) == INNKEEPER_EXTERN_TAG);
  const wasm_globaltype_t* typed = wasm_externtype_as_globaltype_const(wasm_exporttype_type(exports.data[1]));
  const wasm_globaltype_t* any = wasm_externtype_as_globaltype_const(wasm_exporttype_type(exports.data[2]));
  CHECK(wasm_valtype_kind(wasm_globaltype_content(typed)) == WASM_FUNCREF);
  CHECK(wasm_valtype_kind(wasm_globaltype_content(any)) == INNKEEPER_ANYREF);
  const wasm_memorytype_t* big = wasm_externtype_as_memorytype_const(wasm_exporttype_type(exports.data[3]));
  CHECK(wasm_memorytype_limits(big)->max == UINT32_MAX);
  wasm_importtype_vec_delete(&imports);
  wasm_exporttype_vec_delete(&exports);
  wasm_module_delete(module);
  wasm_engine_delete(engine);
}

int main(void) {
  vectors();
  of_values();
  of_items();
  of_modules();
  return 0;
}
