/* References: foreign objects and functions in globals and tables, identity, host information and when it is finalized. */
#include "check.h"

static int finalized[4];
static void finalize(void* info) { finalized[(intptr_t)info]++; }

static wasm_ref_t* called(const wasm_func_t* func, wasm_ref_t* with) {
  wasm_val_t arg[] = {WASM_REF_VAL(with)}, result[] = {WASM_INIT_VAL};
  wasm_val_vec_t args = WASM_ARRAY_VEC(arg), results = WASM_ARRAY_VEC(result);
  trap_free(wasm_func_call(func, &args, &results));
  return result[0].of.ref;
}

int main(void) {
  wasm_engine_t* engine = wasm_engine_new();
  wasm_store_t* store = wasm_store_new(engine);
  wasm_instance_t* instance = instance_of(store, engine,
    "(module (type $s (struct (field i32)))"
    " (func (export \"same\") (param externref) (result externref) (local.get 0))"
    " (func (export \"func\") (param funcref) (result funcref) (local.get 0))"
    " (func (export \"make\") (param anyref) (result anyref) (struct.new $s (i32.const 7)))"
    " (func (export \"any\") (param anyref) (result anyref) (local.get 0))"
    " (global (export \"g\") (mut externref) (ref.null extern)) (table (export \"t\") 1 4 externref))");
  wasm_func_t *same = func_of(instance, "same"), *func = func_of(instance, "func");
  wasm_func_t *make = func_of(instance, "make"), *any = func_of(instance, "any");

  /* A foreign object comes back as what it was. */
  wasm_foreign_t* foreign = wasm_foreign_new(store);
  wasm_foreign_set_host_info_with_finalizer(foreign, (void*)1, finalize);
  wasm_ref_t* back = called(same, wasm_foreign_as_ref(foreign));
  CHECK(wasm_ref_same(back, wasm_foreign_as_ref(foreign)) && wasm_ref_get_host_info(back) == (void*)1);
  CHECK(wasm_ref_as_foreign(back) != NULL && wasm_ref_as_func(back) == NULL);
  wasm_foreign_t* other = wasm_foreign_new(store);
  CHECK(!wasm_foreign_same(foreign, other));
  wasm_foreign_delete(other);
  CHECK(called(same, NULL) == NULL);

  /* In a global and a table, it is there for as long as they have it. */
  wasm_extern_t *global = innkeeper_instance_export(instance, "g"), *table = innkeeper_instance_export(instance, "t");
  wasm_val_t value = WASM_REF_VAL(back), read;
  wasm_global_set(wasm_extern_as_global(global), &value);
  CHECK(wasm_table_set(wasm_extern_as_table(table), 0, back));
  CHECK(wasm_table_grow(wasm_extern_as_table(table), 2, back) && !wasm_table_grow(wasm_extern_as_table(table), 9, NULL));
  CHECK(!wasm_table_set(wasm_extern_as_table(table), 3, NULL));
  wasm_ref_delete(back);
  wasm_foreign_delete(foreign);
  CHECK(finalized[1] == 0);
  wasm_global_get(wasm_extern_as_global(global), &read);
  CHECK(read.kind == WASM_EXTERNREF && wasm_ref_get_host_info(read.of.ref) == (void*)1);
  wasm_val_copy(&value, &read);
  CHECK(wasm_ref_same(value.of.ref, read.of.ref) && value.of.ref != read.of.ref);
  wasm_val_delete(&value);
  wasm_val_delete(&read);
  value = (wasm_val_t)WASM_INIT_VAL;
  wasm_global_set(wasm_extern_as_global(global), &value);
  for (int i = 0; i < 3; i++) CHECK(wasm_table_set(wasm_extern_as_table(table), i, NULL));
  innkeeper_store_collect_garbage(store);
  CHECK(finalized[1] == 1);

  /* Functions, also where the value says that it is an externref. */
  back = called(func, wasm_func_as_ref(same));
  CHECK(wasm_ref_same(back, wasm_func_as_ref(same)) && wasm_func_same(wasm_ref_as_func(back), same));
  wasm_ref_delete(back);
  back = called(same, wasm_instance_as_ref(instance));
  CHECK(wasm_instance_same(wasm_ref_as_instance(back), instance));
  wasm_ref_delete(back);

  /* What is another store's goes through a guest, and is still that store's. */
  wasm_store_t* elsewhere = wasm_store_new(engine);
  wasm_instance_t* other_instance = instance_of(elsewhere, engine, "(module (func (export \"seven\") (result i32) (i32.const 7)))");
  wasm_func_t* seven = func_of(other_instance, "seven");
  back = called(same, wasm_func_as_ref(seven));
  CHECK(wasm_ref_same(back, wasm_func_as_ref(seven)));
  wasm_val_t number[] = {WASM_INIT_VAL};
  wasm_val_vec_t none = WASM_EMPTY_VEC, numbers = WASM_ARRAY_VEC(number);
  trap_free(wasm_func_call(wasm_ref_as_func(back), &none, &numbers));
  CHECK(number[0].of.i32 == 7);
  wasm_ref_delete(back);
  wasm_func_delete(seven);
  wasm_instance_delete(other_instance);
  wasm_store_delete(elsewhere);

  /* A guest's own objects. */
  wasm_ref_t *one = called(make, NULL), *two = called(make, NULL), *one_again = called(any, one);
  CHECK(wasm_ref_same(one, one_again) && !wasm_ref_same(one, two));
  wasm_ref_t* extern_one = called(same, one);
  CHECK(extern_one != NULL);
  wasm_ref_delete(extern_one);
  wasm_ref_delete(one);
  wasm_ref_delete(two);
  wasm_ref_delete(one_again);

  /* Host information is the object's, not the handle's. */
  wasm_func_set_host_info_with_finalizer(same, (void*)2, finalize);
  wasm_func_t* same_again = func_of(instance, "same");
  CHECK(wasm_func_get_host_info(same_again) == (void*)2);
  wasm_func_set_host_info_with_finalizer(same_again, (void*)3, finalize);
  CHECK(finalized[2] == 1);
  CHECK(wasm_func_get_host_info(same) == (void*)3);

  wasm_func_delete(same);
  wasm_func_delete(func);
  wasm_func_delete(make);
  wasm_func_delete(any);
  wasm_extern_delete(global);
  wasm_extern_delete(table);
  wasm_instance_delete(instance);
  wasm_store_delete(store);
  /* The last object keeps the store. */
  CHECK(finalized[3] == 0);
  wasm_func_delete(same_again);
  CHECK(finalized[3] == 1);
  wasm_engine_delete(engine);
  return 0;
}
