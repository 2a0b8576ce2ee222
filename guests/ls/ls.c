// ls [PATH]: one line per entry of a directory (default: the current one), sorted by the bytes of the names:
// type (`-` file, `d` directory, `l` link, `c` character device, `s` socket, `?` other), size, name, and for
// a link its target. The size is printed for files only: what it means for others differs between hosts.

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const char *path) {
    fprintf(stderr, "ls: %s: %s\n", path, strerror(errno));
    return 1;
}

static char type_letter(mode_t mode) {
    if (S_ISREG(mode))
        return '-';
    if (S_ISDIR(mode))
        return 'd';
    if (S_ISLNK(mode))
        return 'l';
    if (S_ISCHR(mode))
        return 'c';
    if (S_ISSOCK(mode))
        return 's';
    return '?';
}

static int print_entry(const char *path, const char *name) {
    struct stat status;
    if (lstat(path, &status) != 0)
        return fail(path);
    if (S_ISREG(status.st_mode))
        printf("%c %10lld %s", type_letter(status.st_mode), (long long)status.st_size, name);
    else
        printf("%c %10s %s", type_letter(status.st_mode), "-", name);
    if (S_ISLNK(status.st_mode)) {
        char target[4096];
        ssize_t length = readlink(path, target, sizeof target);
        if (length < 0) {
            int reason = errno;
            printf("\n");
            errno = reason;
            return fail(path);
        }
        printf(" -> %.*s", (int)length, target);
    }
    printf("\n");
    return 0;
}

static int by_bytes(const void *left, const void *right) {
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static char *joined(const char *path, const char *name) {
    size_t length = strlen(path) + strlen(name) + 2;
    char *result = malloc(length);
    if (result)
        snprintf(result, length, "%s/%s", path, name);
    return result;
}

// Reads the names of the directory into a fresh array: their count, or -1.
static long read_names(DIR *directory, char ***names) {
    size_t count = 0, room = 0;
    *names = NULL;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (!entry)
            return errno == 0 ? (long)count : -1;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (count == room) {
            room = room ? room * 2 : 64;
            char **larger = realloc(*names, room * sizeof **names);
            if (!larger)
                return -1;
            *names = larger;
        }
        if (!((*names)[count++] = strdup(entry->d_name)))
            return -1;
    }
}

static int list_directory(const char *path) {
    DIR *directory = opendir(path);
    if (!directory)
        return fail(path);
    char **names;
    long count = read_names(directory, &names);
    if (count < 0)
        return fail(path);
    closedir(directory);
    if (count > 0)
        qsort(names, (size_t)count, sizeof *names, by_bytes);
    int failed = 0;
    for (long i = 0; i < count; i++) {
        char *entry = joined(path, names[i]);
        if (!entry)
            return fail(path);
        failed |= print_entry(entry, names[i]);
        free(entry);
    }
    return failed;
}

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : ".";
    struct stat status;
    if (stat(path, &status) != 0)
        return fail(path);
    return S_ISDIR(status.st_mode) ? list_directory(path) : print_entry(path, path);
}
