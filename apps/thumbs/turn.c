/* turn.c - pictures that the camera was not held upright for: Exif says how it was. */
#include "picture.h"
#include <string.h>
#include <webp/encode.h>

static unsigned number(const unsigned char *at, int bytes, bool little) {
    unsigned n = 0;
    for (int i = 0; i < bytes; i++)
        n = n << 8 | at[little ? bytes - 1 - i : i];
    return n;
}

/* A TIFF file in the marker: its head, then entries of 12 bytes: tag, type, count, value. */
int picture_orientation(const unsigned char *marker, size_t size) {
    enum { TAG = 0x112, ENTRY = 12 };
    if (size < 14 || memcmp(marker, "Exif\0\0", 6) != 0)
        return 1;
    const unsigned char *tiff = marker + 6;
    bool little = tiff[0] == 'I';
    size -= 6;
    size_t at = number(tiff + 4, 4, little);
    if (at > size - 2)
        return 1;
    unsigned count = number(tiff + at, 2, little);
    for (at += 2; count > 0 && at + ENTRY <= size; count--, at += ENTRY)
        if (number(tiff + at, 2, little) == TAG) {
            unsigned n = number(tiff + at + 8, 2, little);
            return n >= 1 && n <= 8 ? (int)n : 1;
        }
    return 1;
}

/* 2 to 4 are turned upside down or mirrored, 5 to 8 lie on their side too. */
bool picture_turn(struct WebPPicture *picture, int orientation) {
    bool lies = orientation >= 5;
    bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    WebPPicture turned;
    if (orientation == 1)
        return true;
    if (!WebPPictureInit(&turned))
        return false;
    turned.use_argb = 1;
    turned.width = lies ? picture->height : picture->width;
    turned.height = lies ? picture->width : picture->height;
    if (!WebPPictureAlloc(&turned))
        return false;
    for (int y = 0; y < turned.height; y++)
        for (int x = 0; x < turned.width; x++) {
            int column = lies ? y : x, row = lies ? x : y;
            column = from_right ? picture->width - 1 - column : column;
            row = from_below ? picture->height - 1 - row : row;
            turned.argb[(int64_t)y * turned.argb_stride + x] =
                picture->argb[(int64_t)row * picture->argb_stride + column];
        }
    WebPPictureFree(picture);
    *picture = turned;
    return true;
}
