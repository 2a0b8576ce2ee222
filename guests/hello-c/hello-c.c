// Greets on stdout and writes the same greeting to a file, /helloworld/helloworld.txt or the path in the
// first argument. hello-rust and hello-as do the same, byte for byte, through their own libraries.

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char GREETING[] = "Hello, World!\n";

static int write_greeting(const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file)
        return -1;
    int written = fputs(GREETING, file);
    int closed = fclose(file);
    return written < 0 || closed != 0 ? -1 : 0;
}

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : "/helloworld/helloworld.txt";
    fputs(GREETING, stdout);
    if (fflush(stdout) != 0) {
        fprintf(stderr, "hello: cannot write to stdout: %s\n", strerror(errno));
        return 1;
    }
    if (write_greeting(path) != 0) {
        fprintf(stderr, "hello: cannot write %s: %s\n", path, strerror(errno));
        return 1;
    }
    return 0;
}
