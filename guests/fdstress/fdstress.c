// fdstress [--keep] DIRECTORY [FILES]: works in DIRECTORY/fdstress on many files (default 200) that are all open
// at once: creates, writes, reads, seeks, truncates, renames, links, lists, removes. Every phase prints one line
// with a checksum of what it read back; the lines depend on FILES only. Anything unexpected ends the run with
// exit code 1. The tree is removed at the end, unless --keep asks for it.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FILES 1000
#define MAX_BYTES 8192
#define PATH_BYTES 512

static char work[256];
static int files = 200;
static int fds[MAX_FILES];

static _Noreturn void die(const char *format, ...) {
    int reason = errno;
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fprintf(stderr, "fdstress: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, " (errno: %s)\n", strerror(reason));
    va_end(arguments);
    exit(1);
}

// Ends the run unless the condition holds.
#define expect(condition, ...)  \
    do {                        \
        if (!(condition))       \
            die(__VA_ARGS__);   \
    } while (0)

// Ends the run unless the call fails with just this errno.
#define expect_errno(call, wanted)                              \
    do {                                                        \
        errno = 0;                                              \
        expect((call) < 0, #call " did not fail");              \
        expect(errno == (wanted), #call " wanted " #wanted);    \
    } while (0)

// FNV-1a, 64 bits.
static uint64_t hashed(uint64_t hash, const void *bytes, size_t length) {
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ byte[i]) * 0x100000001b3u;
    return hash;
}
#define HASH_START 0xcbf29ce484222325u

static void report(const char *phase, long count, uint64_t hash) {
    printf("%-9s %5ld  %016llx\n", phase, count, (unsigned long long)hash);
}

static const char *path_of(const char *kind, int index) {
    static char paths[4][PATH_BYTES];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, PATH_BYTES, "%s/%s%04d", work, kind, index);
    return path;
}

static const char *path_in_work(const char *name) {
    static char paths[4][PATH_BYTES];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, PATH_BYTES, "%s/%s", work, name);
    return path;
}

static size_t size_of(int index) {
    return 1 + (size_t)(index * 37) % 4096;
}

static void fill(unsigned char *bytes, size_t length, int index) {
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)(i * 31 + (size_t)index * 7 + (i >> 8));
}

static uint64_t hash_of_fd(int fd, uint64_t hash, off_t *length) {
    unsigned char bytes[1000];
    expect(lseek(fd, 0, SEEK_SET) == 0, "seek to the start");
    *length = 0;
    for (;;) {
        ssize_t got = read(fd, bytes, sizeof bytes);
        expect(got >= 0, "read");
        if (got == 0)
            return hash;
        hash = hashed(hash, bytes, (size_t)got);
        *length += got;
    }
}

// Writes two pieces that follow each other in memory, as vectors: a host may take less than it is offered.
static int write_pieces(int fd, unsigned char *bytes, size_t first, size_t second) {
    while (first + second > 0) {
        struct iovec pieces[2] = {{bytes, first}, {bytes + first, second}};
        ssize_t written = writev(fd, pieces, 2);
        if (written <= 0)
            return -1;
        size_t of_first = (size_t)written < first ? (size_t)written : first;
        bytes += written;
        second -= (size_t)written - of_first;
        first -= of_first;
    }
    return 0;
}

// Every file is created, written in two pieces, and stays open.
static void create_phase(void) {
    unsigned char bytes[MAX_BYTES];
    uint64_t hash = HASH_START;
    for (int i = 0; i < files; i++) {
        size_t size = size_of(i), half = size / 2;
        fill(bytes, size, i);
        fds[i] = open(path_of("f", i), O_RDWR | O_CREAT | O_EXCL, 0666);
        expect(fds[i] >= 0, "create file %d", i);
        expect(write_pieces(fds[i], bytes, half, size - half) == 0, "write file %d", i);
        hash = hashed(hash, bytes, size);
    }
    for (int i = 0; i < files; i++)
        for (int j = i + 1; j < files && j < i + 5; j++)
            expect(fds[i] != fds[j], "files %d and %d share an fd", i, j);
    report("create", files, hash);
}

// What was written is read back, by position and by seeking, backwards through the files.
static void read_phase(void) {
    unsigned char wanted[MAX_BYTES], got[MAX_BYTES];
    uint64_t hash = HASH_START;
    for (int i = files - 1; i >= 0; i--) {
        size_t size = size_of(i), middle = size / 3;
        fill(wanted, size, i);
        expect(lseek(fds[i], 0, SEEK_CUR) == (off_t)size, "position of file %d", i);
        expect(pread(fds[i], got, size - middle, (off_t)middle) == (ssize_t)(size - middle), "pread of file %d", i);
        expect(memcmp(got, wanted + middle, size - middle) == 0, "pread bytes of file %d", i);
        expect(lseek(fds[i], 0, SEEK_CUR) == (off_t)size, "pread moved file %d", i);
        expect(lseek(fds[i], -(off_t)size, SEEK_END) == 0, "seek from the end of file %d", i);
        expect(lseek(fds[i], (off_t)middle, SEEK_CUR) == (off_t)middle, "seek forward in file %d", i);
        expect(read(fds[i], got, 1) == 1 && got[0] == wanted[middle], "byte %zu of file %d", middle, i);
        off_t length;
        hash = hash_of_fd(fds[i], hash, &length);
        expect(length == (off_t)size, "length of file %d", i);
        expect(pread(fds[i], got, 1, (off_t)size + 10) == 0, "pread past the end of file %d", i);
    }
    expect_errno(lseek(fds[0], -1, SEEK_SET), EINVAL);
    report("read", files, hash);
}

// Odd files shrink to a half, every third grows by a hole: zeros; pwrite leaves a hole too.
static void truncate_phase(void) {
    uint64_t hash = HASH_START;
    for (int i = 0; i < files; i++) {
        off_t size = (off_t)size_of(i);
        if (i % 2)
            size /= 2;
        if (i % 3 == 0)
            size += 100;
        expect(ftruncate(fds[i], size) == 0, "truncate file %d", i);
        if (i % 5 == 0) {
            size += 50;
            expect(pwrite(fds[i], "!", 1, size - 1) == 1, "pwrite past the end of file %d", i);
        }
        struct stat status;
        expect(fstat(fds[i], &status) == 0 && S_ISREG(status.st_mode) && status.st_size == size, "fstat of file %d", i);
        expect(stat(path_of("f", i), &status) == 0 && status.st_size == size, "stat of file %d", i);
        off_t length;
        hash = hash_of_fd(fds[i], hash, &length);
        expect(length == size, "length of file %d", i);
    }
    expect(fsync(fds[0]) == 0 && fdatasync(fds[0]) == 0, "sync");
    report("truncate", files, hash);
}

// A second fd appends; the first sees it. Times are set and read back.
static void append_phase(void) {
    uint64_t hash = HASH_START;
    for (int i = 0; i < files; i += 4) {
        int fd = open(path_of("f", i), O_WRONLY | O_APPEND);
        expect(fd >= 0, "open file %d to append", i);
        expect(write(fd, "one", 3) == 3 && lseek(fd, 0, SEEK_SET) == 0 && write(fd, "two", 3) == 3, "append to file %d", i);
        expect(close(fd) == 0, "close");
        struct timespec times[2] = {{1000000 + i, 0}, {2000000 + i, 0}};
        expect(futimens(fds[i], times) == 0, "set the times of file %d", i);
        struct stat status;
        expect(fstat(fds[i], &status) == 0 && status.st_mtim.tv_sec == 2000000 + i, "times of file %d", i);
        char tail[6];
        expect(pread(fds[i], tail, 6, status.st_size - 6) == 6, "tail of file %d", i);
        hash = hashed(hash, tail, 6);
        hash = hashed(hash, &status.st_size, sizeof status.st_size);
    }
    report("append", (files + 3) / 4, hash);
}

// Even files move to a subdirectory, every tenth of them over a file that is there; the open fds follow.
static void rename_phase(void) {
    uint64_t hash = HASH_START;
    long count = 0;
    expect(mkdir(path_in_work("sub"), 0777) == 0, "make the subdirectory");
    for (int i = 0; i < files; i += 2) {
        const char *target = path_of("sub/m", i);
        if (i % 10 == 0) {
            int fd = open(target, O_WRONLY | O_CREAT | O_EXCL, 0666);
            expect(fd >= 0 && write(fd, "to be replaced", 14) == 14 && close(fd) == 0, "make the target of file %d", i);
        }
        expect(rename(path_of("f", i), target) == 0, "rename file %d", i);
        expect_errno(access(path_of("f", i), F_OK), ENOENT);
        struct stat by_fd, by_path;
        expect(fstat(fds[i], &by_fd) == 0 && stat(target, &by_path) == 0, "stat of moved file %d", i);
        expect(by_fd.st_ino == by_path.st_ino && by_fd.st_size == by_path.st_size, "identity of moved file %d", i);
        hash = hashed(hash, &by_path.st_size, sizeof by_path.st_size);
        count++;
    }
    report("rename", count, hash);
}

// Hard links share the file, symbolic links lead to it.
static void link_phase(void) {
    uint64_t hash = HASH_START;
    long count = 0;
    for (int i = 1; i < files; i += 8) {
        struct stat status;
        expect(link(path_of("f", i), path_of("hard", i)) == 0, "link file %d", i);
        expect(fstat(fds[i], &status) == 0 && status.st_nlink == 2, "link count of file %d", i);
        char target[32], read_back[32];
        int length = snprintf(target, sizeof target, "f%04d", i);
        expect(symlink(target, path_of("soft", i)) == 0, "symlink to file %d", i);
        expect(readlink(path_of("soft", i), read_back, sizeof read_back) == length, "readlink of file %d", i);
        expect(memcmp(target, read_back, (size_t)length) == 0, "target of link %d", i);
        expect(lstat(path_of("soft", i), &status) == 0 && S_ISLNK(status.st_mode), "lstat of link %d", i);
        expect_errno(open(path_of("soft", i), O_RDONLY | O_NOFOLLOW), ELOOP);
        int fd = open(path_of("soft", i), O_RDONLY);
        expect(fd >= 0, "open through link %d", i);
        off_t size;
        hash = hash_of_fd(fd, hash, &size);
        expect(close(fd) == 0, "close");
        count++;
    }
    report("link", count, hash);
}

static int by_bytes(const void *left, const void *right) {
    return strcmp(left, right);
}

// Lists a directory: the names, sorted, go into the hash. The count does not include `.` and `..`.
static long list(const char *path, uint64_t *hash) {
    static char names[3 * MAX_FILES][16];
    long count = 0;
    DIR *directory = opendir(path);
    expect(directory, "open the directory %s", path);
    for (int round = 0; round < 2; round++) {
        count = 0;
        struct dirent *entry;
        while ((errno = 0, entry = readdir(directory))) {
            if (entry->d_name[0] == '.')
                continue;
            expect(count < 3 * MAX_FILES && strlen(entry->d_name) < 16, "too much in %s", path);
            strcpy(names[count++], entry->d_name);
        }
        expect(errno == 0, "read the directory %s", path);
        rewinddir(directory);
    }
    expect(closedir(directory) == 0, "close the directory");
    qsort(names, (size_t)count, sizeof names[0], by_bytes);
    for (long i = 0; i < count; i++)
        *hash = hashed(*hash, names[i], strlen(names[i]) + 1);
    return count;
}

static void list_phase(void) {
    uint64_t hash = HASH_START;
    long count = list(work, &hash) + list(path_in_work("sub"), &hash);
    report("list", count, hash);
}

// What must be refused is refused, with the errno that POSIX gives.
static void refuse_phase(void) {
    char byte = 0;
    expect_errno(open(path_in_work("missing"), O_RDONLY), ENOENT);
    expect_errno(open(path_of("f", 1), O_RDWR | O_CREAT | O_EXCL, 0666), EEXIST);
    expect_errno(open(path_in_work("sub"), O_WRONLY), EISDIR);
    expect_errno(open(path_of("f", 1), O_RDONLY | O_DIRECTORY), ENOTDIR);
    expect_errno(open(path_in_work("f0001/x"), O_RDONLY), ENOTDIR);
    expect_errno(mkdir(path_in_work("sub"), 0777), EEXIST);
    expect_errno(rmdir(path_in_work("sub")), ENOTEMPTY);
    expect_errno(rmdir(path_of("f", 1)), ENOTDIR);
    expect_errno(rename(path_in_work("missing"), path_in_work("other")), ENOENT);
    expect_errno(read(9999, &byte, 1), EBADF);
    expect_errno(close(9999), EBADF);
    expect_errno(open(path_in_work("../../../../../../../../etc/passwd"), O_RDONLY), EPERM);
    expect_errno(symlink("/etc/passwd", path_in_work("absolute")), EPERM);
    int fd = open(path_of("f", 1), O_RDONLY);
    expect(fd >= 0, "open read-only");
    expect(write(fd, &byte, 1) < 0, "a read-only fd was written to");
    expect(close(fd) == 0, "close");
    expect_errno(read(fd, &byte, 1), EBADF);
    report("refuse", 15, HASH_START);
}

// Files are unlinked while open: the fds still read. Then everything is closed, and an fd is free again.
static void unlink_phase(int keep) {
    uint64_t hash = HASH_START;
    long count = 0;
    for (int i = 3; i < files; i += 4) {
        expect(unlink(path_of("f", i)) == 0, "unlink file %d", i);
        expect_errno(access(path_of("f", i), F_OK), ENOENT);
        off_t length;
        hash = hash_of_fd(fds[i], hash, &length);
        count++;
    }
    for (int i = 0; i < files; i++)
        expect(close(fds[i]) == 0, "close file %d", i);
    expect_errno(fcntl(fds[0], F_GETFL), EBADF);
    if (!keep) {
        for (int i = 0; i < files; i++) {
            if (i % 2 == 0)
                expect(unlink(path_of("sub/m", i)) == 0, "unlink moved file %d", i);
            else if (i % 4 != 3)
                expect(unlink(path_of("f", i)) == 0, "unlink file %d", i);
            if (i % 8 == 1)
                expect(unlink(path_of("hard", i)) == 0 && unlink(path_of("soft", i)) == 0, "unlink links %d", i);
        }
        expect(rmdir(path_in_work("sub")) == 0 && rmdir(work) == 0, "remove the directories");
    }
    report("unlink", count, hash);
}

int main(int argc, char **argv) {
    int next = 1, keep = 0;
    if (next < argc && strcmp(argv[next], "--keep") == 0) {
        keep = 1;
        next++;
    }
    if (next + 1 < argc)
        files = atoi(argv[next + 1]);
    if (next >= argc || files < 8 || files > MAX_FILES || strlen(argv[next]) > 200) {
        fprintf(stderr, "usage: fdstress [--keep] DIRECTORY [FILES, 8 to %d]\n", MAX_FILES);
        return 2;
    }
    snprintf(work, sizeof work, "%s/fdstress", argv[next]);
    expect(mkdir(work, 0777) == 0, "make %s", work);
    create_phase();
    read_phase();
    truncate_phase();
    append_phase();
    rename_phase();
    link_phase();
    list_phase();
    refuse_phase();
    unlink_phase(keep);
    return 0;
}
