/* Python: pool.starmap(convert, [(name, 85, "webp") for name in names]); partial(convert,
 * quality=85)
 *
 * Converts 20 pictures to WebP with quality 85: first with all three arguments in each
 * item, then with what they share as one common argument. Prints "Converted: 20 images"
 * both times. The pictures are drawn by the program, into a folder of its own in /tmp, or
 * in the one that is the first argument: one that the workers see, where they are on
 * several machines. Link with -lwebp. */
#include <crew/crew.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <webp/encode.h>

enum { IMAGES = 20, SIDE = 64 };

struct name {
    char text[256]; /* without its ending */
};
struct format {
    char text[8];
};
struct how {
    int quality;
    struct format format;
};

enum { PATH = 300 };

static void path_of(char path[PATH], const struct name *name, const char *ending) {
    snprintf(path, PATH, "%.255s.%s", name->text, ending);
}

/* A picture as PPM: a head, then three bytes a pixel. */
static bool read_ppm(const char *path, unsigned char *pixels) {
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    int width = 0, height = 0;
    bool good = fscanf(file, "P6 %d %d 255", &width, &height) == 2 && width == SIDE &&
                height == SIDE && getc(file) == '\n' &&
                fread(pixels, 3, SIDE * SIDE, file) == SIDE * SIDE;
    fclose(file);
    return good;
}

static bool write_file(const char *path, const char *head, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    if (!file)
        return false;
    bool good = fputs(head, file) >= 0 && fwrite(data, 1, size, file) == size;
    return fclose(file) == 0 && good;
}

/* True if there is a picture of that format now. */
static bool convert(struct name name, int quality, struct format format) {
    static _Thread_local unsigned char pixels[SIDE * SIDE * 3];
    char from[PATH], to[PATH];
    uint8_t *webp = NULL;
    path_of(from, &name, "ppm");
    path_of(to, &name, format.text);
    if (strcmp(format.text, "webp") != 0 || !read_ppm(from, pixels))
        return false;
    size_t size = WebPEncodeRGB(pixels, SIDE, SIDE, SIDE * 3, (float)quality, &webp);
    bool good = size > 0 && write_file(to, "", webp, size);
    WebPFree(webp);
    return good;
}
CREW_TASK3(convert, bool, struct name, int, struct format)

/* functools.partial: what is the same for all travels once. */
static bool convert_so(struct name name, const struct how *how) {
    return convert(name, how->quality, how->format);
}
CREW_TASK_WITH(convert_so, bool, struct name, struct how)

/* Draws the pictures; their names. */
static bool draw(const char *folder, struct name *names) {
    unsigned char pixels[SIDE * SIDE * 3];
    for (int i = 0; i < IMAGES; i++) {
        char path[PATH], head[32];
        for (int p = 0; p < SIDE * SIDE; p++) {
            pixels[3 * p] = (unsigned char)(p % SIDE * 4);
            pixels[3 * p + 1] = (unsigned char)(p / SIDE * 4);
            pixels[3 * p + 2] = (unsigned char)(i * 12);
        }
        snprintf(names[i].text, sizeof names[i].text, "%s/image%d", folder, i);
        path_of(path, &names[i], "ppm");
        snprintf(head, sizeof head, "P6 %d %d 255\n", SIDE, SIDE);
        if (!write_file(path, head, pixels, sizeof pixels))
            return false;
    }
    return true;
}

/* Counts the pictures and takes them away: the next round makes its own. */
static void report(const struct name *names, const bool *converted) {
    int count = 0;
    for (int i = 0; i < IMAGES; i++) {
        char path[PATH];
        path_of(path, &names[i], "webp");
        count += unlink(path) == 0 && converted[i];
    }
    printf("Converted: %d images\n", count);
}

static int run(const struct name *names, crew_error *err) {
    convert_args tuples[IMAGES]; /* struct { a; b; c; }, made by CREW_TASK3 */
    bool converted[IMAGES];
    struct how how = {85, {"webp"}};
    crew_map_opts opts = {.common = &how, .common_size = sizeof how};
    for (int i = 0; i < IMAGES; i++)
        tuples[i] = (convert_args){names[i], 85, {"webp"}};
    crew_pool *pool = crew_pool_open(NULL, err);
    if (!pool)
        return err->code;
    int rc = crew_map(pool, convert_task, tuples, IMAGES, converted, NULL, err);
    if (rc == 0) {
        report(names, converted);
        rc = crew_map(pool, convert_so_task, names, IMAGES, converted, &opts, err);
    }
    if (rc == 0)
        report(names, converted);
    crew_pool_free(pool);
    return rc;
}

int main(int argc, char **argv) {
    struct name names[IMAGES];
    char folder[200];
    crew_error err = {0};
    crew_init(&argc, &argv);
    snprintf(folder, sizeof folder, "%s/crew-images-XXXXXX", argc > 1 ? argv[1] : "/tmp");
    if (!mkdtemp(folder) || !draw(folder, names)) {
        perror(folder);
        return 1;
    }
    int rc = run(names, &err);
    for (int i = 0; i < IMAGES; i++) {
        char path[PATH];
        path_of(path, &names[i], "ppm");
        unlink(path);
    }
    rmdir(folder);
    if (rc < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    return crew_finalize();
}
