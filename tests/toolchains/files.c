// Reads, makes, lists and removes files, and says what the environment has.

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int count, char **arguments) {
  char text[64] = "";
  FILE *file = fopen(count > 1 ? arguments[1] : "", "r");
  if (!file || !fgets(text, sizeof text, file)) {
    perror("cannot read");
    return 1;
  }
  fclose(file);
  printf("%s: %sWORD is %s\n", arguments[1], text, getenv("WORD"));
  mkdir("/work/made", 0755);
  file = fopen("/work/made/new", "w");
  fprintf(file, "written %d", 7);
  fclose(file);
  rename("/work/made/new", "/work/made/file");
  struct stat about;
  printf("%d %lld\n", stat("/work/made/file", &about), (long long)about.st_size);
  DIR *directory = opendir("/work/made");
  for (struct dirent *entry; (entry = readdir(directory));)
    if (entry->d_name[0] != '.')
      puts(entry->d_name);
  closedir(directory);
  printf("%d ", unlink("/work/made/file"));
  printf("%d ", rmdir("/work/made"));
  printf("%d %s\n", access("/etc/passwd", R_OK), strerror(errno));
  return 0;
}
