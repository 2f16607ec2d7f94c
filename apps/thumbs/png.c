/* png.c - reads a PNG file of any kind as red, green, blue and alpha. */
#include "picture.h"
#include <png.h>
#include <stdlib.h>
#include <webp/encode.h>

bool picture_read_png(void *file, size_t memory, struct WebPPicture *picture,
                      char why[PICTURE_WHY]) {
    png_image image = {.version = PNG_IMAGE_VERSION};
    unsigned char *pixels = NULL;
    bool good = false;
    if (!png_image_begin_read_from_stdio(&image, file)) {
        snprintf(why, PICTURE_WHY, "broken: %s", image.message);
        return false;
    }
    image.format = PNG_FORMAT_RGBA;
    /* A file of some bytes may say that it holds a trillion pixels. Twice: here and as
     * libwebp keeps them. */
    if ((size_t)image.width * image.height > memory / 8 || image.width > INT32_MAX / 4)
        snprintf(why, PICTURE_WHY, "too large: %u x %u pixels (see --memory)", image.width,
                 image.height);
    else if (!(pixels = malloc(PNG_IMAGE_SIZE(image))))
        snprintf(why, PICTURE_WHY, "not enough memory");
    else if (!png_image_finish_read(&image, NULL, pixels, 0, NULL))
        snprintf(why, PICTURE_WHY, "broken: %s", image.message);
    else
        good = true;
    if (good) {
        picture->width = (int)image.width;
        picture->height = (int)image.height;
        good = WebPPictureImportRGBA(picture, pixels, picture->width * 4);
        if (!good)
            snprintf(why, PICTURE_WHY, "not enough memory");
    }
    png_image_free(&image);
    free(pixels);
    return good;
}
