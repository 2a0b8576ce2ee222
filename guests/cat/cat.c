// cat [FILE...]: copies files, or stdin where none is named or for `-`, to stdout, in blocks, unchanged.
// A file that cannot be read is reported on stderr, the others are still printed, and the exit code is 1.

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char block[65536];

static int write_all(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

static int copy_to_stdout(int fd, const char *name) {
    for (;;) {
        ssize_t got = read(fd, block, sizeof block);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            fprintf(stderr, "cat: %s: %s\n", name, strerror(errno));
            return 1;
        }
        if (got == 0)
            return 0;
        if (write_all(STDOUT_FILENO, block, (size_t)got) != 0) {
            fprintf(stderr, "cat: stdout: %s\n", strerror(errno));
            return 1;
        }
    }
}

static int print_file(const char *name) {
    if (strcmp(name, "-") == 0)
        return copy_to_stdout(STDIN_FILENO, "stdin");
    int fd = open(name, O_RDONLY);
    if (fd < 0) {
        fprintf(stderr, "cat: %s: %s\n", name, strerror(errno));
        return 1;
    }
    int failed = copy_to_stdout(fd, name);
    close(fd);
    return failed;
}

int main(int argc, char **argv) {
    if (argc < 2)
        return print_file("-");
    int failed = 0;
    for (int i = 1; i < argc; i++)
        failed |= print_file(argv[i]);
    return failed;
}
