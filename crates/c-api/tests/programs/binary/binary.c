/* Writes, beside each module in the text format in this folder, the module in the binary format. */
#include <dirent.h>

#include "../check.h"

int main(void) {
  wasm_engine_t* engine = wasm_engine_new();
  DIR* folder = opendir(".");
  CHECK(folder != NULL);
  for (struct dirent* entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
    char* ending = strrchr(entry->d_name, '.');
    if (ending == NULL || strcmp(ending, ".wat") != 0) continue;
    wasm_module_t* module;
    done(innkeeper_module_from_file(engine, entry->d_name, &module));
    wasm_byte_vec_t bytes;
    innkeeper_module_bytes(module, &bytes);
    strcpy(ending, ".wasm");
    FILE* file = fopen(entry->d_name, "wb");
    CHECK(file != NULL && fwrite(bytes.data, bytes.size, 1, file) == 1 && fclose(file) == 0);
    wasm_byte_vec_delete(&bytes);
    wasm_module_delete(module);
  }
  closedir(folder);
  wasm_engine_delete(engine);
  return 0;
}
