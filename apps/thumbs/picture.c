/* picture.c - a JPEG or PNG file as a small WebP one. */
#include "picture.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <webp/encode.h>

/* NULL with the reason. A pipe that is named like a picture must not be waited for. */
static FILE *open_file(const char *path, char why[PICTURE_WHY]) {
    struct stat s;
    FILE *file = NULL;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &s) == 0 && !S_ISREG(s.st_mode))
        snprintf(why, PICTURE_WHY, "not a file, but a %s",
                 S_ISDIR(s.st_mode) ? "folder" : "pipe or a device");
    else if (fd < 0 || !(file = fdopen(fd, "rb")))
        snprintf(why, PICTURE_WHY, "%s", strerror(errno));
    if (fd >= 0 && !file)
        close(fd);
    return file;
}

/* By what is in it: many a .jpg is a PNG. */
static bool read_picture(FILE *file, int side, size_t memory, WebPPicture *picture,
                         int *orientation, char why[PICTURE_WHY]) {
    unsigned char head[8];
    size_t n = fread(head, 1, sizeof head, file);
    if (ferror(file)) {
        snprintf(why, PICTURE_WHY, "%s", strerror(errno));
        return false;
    }
    rewind(file);
    if (n >= 3 && memcmp(head, "\xff\xd8\xff", 3) == 0)
        return picture_read_jpeg(file, side, memory, picture, orientation, why);
    if (n == 8 && memcmp(head, "\x89PNG\r\n\x1a\n", 8) == 0)
        return picture_read_png(file, memory, picture, why);
    snprintf(why, PICTURE_WHY, n ? "neither JPEG nor PNG" : "empty");
    return false;
}

static bool shrink(WebPPicture *picture, int side) {
    int width = picture->width, height = picture->height;
    int longest = width > height ? width : height;
    if (longest <= side)
        return true;
    int w = (int)(((int64_t)width * side + longest / 2) / longest);
    int h = (int)(((int64_t)height * side + longest / 2) / longest);
    return WebPPictureRescale(picture, w > 0 ? w : 1, h > 0 ? h : 1);
}

static bool encode(WebPPicture *picture, float quality, uint8_t **webp, size_t *size) {
    WebPConfig config;
    WebPMemoryWriter writer;
    if (!WebPConfigInit(&config))
        return false;
    config.quality = quality;
    WebPMemoryWriterInit(&writer);
    picture->writer = WebPMemoryWrite;
    picture->custom_ptr = &writer;
    if (!WebPEncode(&config, picture)) {
        WebPMemoryWriterClear(&writer);
        return false;
    }
    *webp = writer.mem;
    *size = writer.size;
    return true;
}

bool picture_thumb(const char *path, int side, float quality, size_t memory, uint8_t **webp,
                   size_t *size, char why[PICTURE_WHY]) {
    WebPPicture picture;
    int orientation = 1;
    FILE *file = open_file(path, why);
    if (!file)
        return false;
    bool good = WebPPictureInit(&picture);
    picture.use_argb = 1;
    if (!good)
        snprintf(why, PICTURE_WHY, "libwebp is of another version than its headers");
    good = good && read_picture(file, side, memory, &picture, &orientation, why);
    fclose(file);
    if (good && !(shrink(&picture, side) && picture_turn(&picture, orientation) &&
                  encode(&picture, quality, webp, size))) {
        snprintf(why, PICTURE_WHY, "could not be made a WebP picture: not enough memory");
        good = false;
    }
    WebPPictureFree(&picture);
    return good;
}
