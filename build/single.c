/* The head of the single-file program: unpacks what is appended to it, once, and becomes it.
 *
 * It runs the unpacked program with exec, so there is no second process: signals, the exit code and the process id are
 * those of the program. The unpacked files stay, under a name that holds a digest of their contents, and the next start
 * only looks whether they are complete. Layout of the file, as build/single.py writes it:
 *
 *     this program | index | one zstd frame: the contents of all files | struct footer
 *     an index entry: its path and a 0 | 8 bytes of size | 8 bytes of mode; the end is an empty path
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

struct footer {
    uint64_t index, payload, end; /* offsets from the start of the file */
    char name[40];                /* of the folder, ended by a 0 */
    char magic[8];
};

static const char MAGIC[8] = "CKVFILE1";
static const char *PROGRAM = "ckv"; /* in the folder */

static const unsigned char *image; /* this file, mapped */
static struct footer footer;

struct entry {
    const char *path;
    uint64_t size, mode;
};

/* The entry at *at, which moves on; 0 at the end. */
static int next_entry(const unsigned char **at, struct entry *entry) {
    entry->path = (const char *)*at;
    if (entry->path[0] == 0)
        return 0;
    *at += strlen(entry->path) + 1;
    memcpy(&entry->size, *at, 8);
    memcpy(&entry->mode, *at + 8, 8);
    *at += 16;
    return 1;
}

static int complete(const char *folder) {
    char path[PATH_MAX];
    struct stat found;
    struct entry entry;
    for (const unsigned char *at = image + footer.index; next_entry(&at, &entry);) {
        if (snprintf(path, sizeof path, "%s/%s", folder, entry.path) >= (int)sizeof path || lstat(path, &found) != 0 ||
            (uint64_t)found.st_size != entry.size || !S_ISREG(found.st_mode))
            return 0;
    }
    return 1;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info, (void)kind, (void)where;
    return remove(path);
}

static void remove_all(const char *folder) { nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

/* Makes the folders above a path; its first `from` characters exist. */
static int make_parents(char *path, size_t from) {
    for (char *slash = strchr(path + from + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        int bad = mkdir(path, 0700) != 0 && errno != EEXIST;
        *slash = '/';
        if (bad)
            return -1;
    }
    return 0;
}

static int write_all(int file, const char *data, size_t size) {
    while (size > 0) {
        ssize_t done = write(file, data, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        data += done, size -= (size_t)done;
    }
    return 0;
}

/* Writes all files into the folder, which is new; 0, or -1 and errno. */
static int unpack(const char *folder) {
    static char chunk[1 << 18];
    ZSTD_DStream *stream = ZSTD_createDStream();
    ZSTD_inBuffer in = {image + footer.payload, footer.end - footer.payload, 0};
    struct entry entry;
    size_t result = 1; /* 0 at the end of the frame */
    char path[PATH_MAX];
    for (const unsigned char *at = image + footer.index; next_entry(&at, &entry);) {
        if (snprintf(path, sizeof path, "%s/%s", folder, entry.path) >= (int)sizeof path) {
            errno = ENAMETOOLONG;
            return -1;
        }
        if (make_parents(path, strlen(folder)) != 0)
            return -1;
        int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (file < 0)
            return -1;
        for (uint64_t left = entry.size; left > 0;) {
            ZSTD_outBuffer out = {chunk, left < sizeof chunk ? left : sizeof chunk, 0};
            size_t before = in.pos;
            result = ZSTD_decompressStream(stream, &out, &in);
            if (ZSTD_isError(result) || (out.pos == 0 && in.pos == before)) {
                errno = EBADMSG;
                return -1;
            }
            if (write_all(file, chunk, out.pos) != 0)
                return -1;
            left -= out.pos;
        }
        if (fchmod(file, (mode_t)entry.mode & 0755) != 0 || close(file) != 0)
            return -1;
    }
    /* What may remain is the checksum of all of it. */
    while (result != 0) {
        ZSTD_outBuffer none = {chunk, sizeof chunk, 0};
        size_t before = in.pos;
        result = ZSTD_decompressStream(stream, &none, &in);
        if (ZSTD_isError(result) || none.pos != 0 || (result != 0 && in.pos == before)) {
            errno = EBADMSG;
            return -1;
        }
    }
    ZSTD_freeDStream(stream);
    /* A folder that has its name is complete, also after a loss of power. */
    int directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int bad = directory < 0 || syncfs(directory) != 0;
    if (directory >= 0)
        close(directory);
    return bad ? -1 : 0;
}

/* Makes the folder of that name in `base`, complete, and stores its path; 0, or -1 and errno. */
static int prepare(char *base, char *folder) {
    struct stat found;
    if (make_parents(base, 0) != 0 || (mkdir(base, 0700) != 0 && errno != EEXIST) || lstat(base, &found) != 0)
        return -1;
    /* What somebody else can write to is not to be run. */
    if (!S_ISDIR(found.st_mode) || found.st_uid != geteuid() || (found.st_mode & 022) != 0) {
        errno = EPERM;
        return -1;
    }
    if (snprintf(folder, PATH_MAX, "%s/%s", base, footer.name) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (complete(folder))
        return 0;
    char fresh[PATH_MAX];
    if (snprintf(fresh, sizeof fresh, "%s/new-XXXXXX", base) >= (int)sizeof fresh || mkdtemp(fresh) == NULL)
        return -1;
    if (unpack(fresh) != 0) {
        int why = errno;
        remove_all(fresh);
        errno = why;
        return -1;
    }
    while (rename(fresh, folder) != 0) {
        /* Another start was as quick, or the folder has lost files: somebody cleaned up. */
        char broken[PATH_MAX];
        if ((errno != ENOTEMPTY && errno != EEXIST) || complete(folder) ||
            snprintf(broken, sizeof broken, "%s/old-%ld", base, (long)getpid()) >= (int)sizeof broken) {
            int why = errno;
            remove_all(fresh);
            errno = why;
            return complete(folder) ? 0 : -1;
        }
        if (rename(folder, broken) == 0)
            remove_all(broken);
    }
    return 0;
}

static int fail(const char *what) {
    fprintf(stderr, "ckv: %s: %s\n", what, strerror(errno));
    return 4;
}

int main(int argc, char **argv) {
    (void)argc;
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (file < 0 || fstat(file, &info) != 0)
        return fail("cannot read this program: /proc/self/exe");
    image = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (image == MAP_FAILED)
        return fail("cannot map this program");
    memcpy(&footer, image + info.st_size - sizeof footer, sizeof footer);
    if (memcmp(footer.magic, MAGIC, sizeof MAGIC) != 0) {
        errno = EBADMSG;
        return fail("this file is not complete");
    }

    char bases[3][PATH_MAX] = {"", "", ""}, folder[PATH_MAX], program[PATH_MAX + 8];
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME"), *temporary = getenv("TMPDIR");
    if (cache && cache[0] == '/')
        snprintf(bases[0], PATH_MAX - 64, "%s/ckv", cache);
    if (home && home[0] == '/')
        snprintf(bases[1], PATH_MAX - 64, "%s/.cache/ckv", home);
    snprintf(bases[2], PATH_MAX - 64, "%s/ckv-%ld", temporary && temporary[0] == '/' ? temporary : "/tmp",
             (long)geteuid());
    for (int i = 0; i < 3; i++) {
        if (bases[i][0] == 0 || prepare(bases[i], folder) != 0)
            continue;
        snprintf(program, sizeof program, "%s/%s", folder, PROGRAM);
        execv(program, argv); /* returns where programs must not be run from there */
    }
    return fail("cannot unpack this program: XDG_CACHE_HOME, ~/.cache and /tmp cannot hold programs");
}
