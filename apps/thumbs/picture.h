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

/* The pictures as libwebp takes them; what of each format read.c and the rest share. */
struct WebPPicture;
bool picture_read_jpeg(void *file, int side, size_t memory, struct WebPPicture *picture,
                       char why[PICTURE_WHY]);
bool picture_read_png(void *file, size_t memory, struct WebPPicture *picture,
                      char why[PICTURE_WHY]);

#endif
