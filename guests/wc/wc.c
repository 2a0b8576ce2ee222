// wc [FILE...]: lines, words and bytes of files, or of stdin where none is named or for `-`, and a total line
// for more than one. A word is a run of bytes that are not ASCII white space.

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct counts {
    unsigned long long lines, words, bytes;
};

static unsigned char block[65536];

static int is_space(unsigned char byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static int count(int fd, struct counts *counts) {
    int in_word = 0;
    for (;;) {
        ssize_t got = read(fd, block, sizeof block);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return (int)got;
        counts->bytes += (unsigned long long)got;
        for (ssize_t i = 0; i < got; i++) {
            counts->lines += block[i] == '\n';
            int space = is_space(block[i]);
            counts->words += !space && !in_word;
            in_word = !space;
        }
    }
}

static void print(const struct counts *counts, const char *name) {
    printf("%7llu %7llu %7llu%s%s\n", counts->lines, counts->words, counts->bytes, name ? " " : "", name ? name : "");
}

static int count_file(const char *name, struct counts *counts) {
    if (strcmp(name, "-") == 0)
        return count(STDIN_FILENO, counts);
    int fd = open(name, O_RDONLY);
    if (fd < 0)
        return -1;
    int result = count(fd, counts);
    int reason = errno;
    close(fd);
    errno = reason;
    return result;
}

int main(int argc, char **argv) {
    struct counts total = {0};
    int failed = 0;
    for (int i = 1; i < argc || i == 1; i++) {
        const char *name = argc > 1 ? argv[i] : "-";
        struct counts counts = {0};
        if (count_file(name, &counts) != 0) {
            fprintf(stderr, "wc: %s: %s\n", name, strerror(errno));
            failed = 1;
            continue;
        }
        print(&counts, argc > 1 ? name : NULL);
        total.lines += counts.lines;
        total.words += counts.words;
        total.bytes += counts.bytes;
    }
    if (argc > 2)
        print(&total, "total");
    return failed;
}
