/* picture.h - a JPEG or PNG file as a small WebP one, in memory. */
#ifndef THUMBS_PICTURE_H
#define THUMBS_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PICTURE_WHY = 160 };

/* Reads the file, shrinks it to at most side x side pixels (what is smaller stays as it
 * is), and gives it as WebP, for WebPFree. False with the reason in why, also for what
 * would take more than `memory` bytes. The file may hold anything. */
bool picture_thumb(const char *path, int side, float quality, size_t memory, uint8_t **webp,
                   size_t *size, char why[PICTURE_WHY]);

/* ---- its parts ---- */

/* Read a file of that format, as libwebp takes it. Orientation as in Exif: 1 is upright. */
struct WebPPicture;
bool picture_read_jpeg(void *file, int side, size_t memory, struct WebPPicture *picture,
                       int *orientation, char why[PICTURE_WHY]);
bool picture_read_png(void *file, size_t memory, struct WebPPicture *picture,
                      char why[PICTURE_WHY]);

/* What a JPEG file's marker says of it; 1 if that is not Exif, or broken. */
int picture_orientation(const unsigned char *marker, size_t size);
/* Makes it upright. False if there is not enough memory. */
bool picture_turn(struct WebPPicture *picture, int orientation);

#endif
