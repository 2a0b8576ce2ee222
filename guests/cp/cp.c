// cp SOURCE TARGET: copies one file, into TARGET where that is a directory. An existing file is replaced.

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char block[65536];
static char target_path[4096];

static int fail(const char *path) {
    fprintf(stderr, "cp: %s: %s\n", path, strerror(errno));
    return 1;
}

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

static int copy(int from, const char *source, int to, const char *target) {
    for (;;) {
        ssize_t got = read(from, block, sizeof block);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(source);
        if (got == 0)
            return 0;
        if (write_all(to, block, (size_t)got) != 0)
            return fail(target);
    }
}

// The file to write: TARGET, or the source's name in TARGET where that is a directory.
static const char *resolve_target(const char *source, const char *target) {
    struct stat status;
    if (stat(target, &status) != 0 || !S_ISDIR(status.st_mode))
        return target;
    const char *slash = strrchr(source, '/');
    int length = snprintf(target_path, sizeof target_path, "%s/%s", target, slash ? slash + 1 : source);
    if (length < 0 || (size_t)length >= sizeof target_path) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    return target_path;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: cp SOURCE TARGET\n");
        return 2;
    }
    const char *source = argv[1];
    const char *target = resolve_target(source, argv[2]);
    if (!target)
        return fail(argv[2]);
    int from = open(source, O_RDONLY);
    if (from < 0)
        return fail(source);
    struct stat source_status, target_status;
    if (fstat(from, &source_status) != 0)
        return fail(source);
    if (S_ISDIR(source_status.st_mode)) {
        errno = EISDIR;
        return fail(source);
    }
    if (stat(target, &target_status) == 0 && source_status.st_dev == target_status.st_dev &&
        source_status.st_ino == target_status.st_ino) {
        fprintf(stderr, "cp: %s and %s are one file\n", source, target);
        return 1;
    }
    int to = open(target, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (to < 0)
        return fail(target);
    int failed = copy(from, source, to, target);
    close(from);
    if (close(to) != 0 && !failed)
        return fail(target);
    return failed;
}
