/* jpeg.c - reads a JPEG file, shrunk as far as can be had for nothing. */
#include "picture.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>
#include <webp/encode.h>

enum { EXIF = JPEG_APP0 + 1 }; /* the marker where cameras put what they know */

struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
    unsigned char *pixels;
    int *orientation;
    char *why;
};

/* The library's way out: it must not return. */
static void fail(j_common_ptr jpeg) {
    struct reader *r = jpeg->client_data;
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    snprintf(r->why, PICTURE_WHY, "broken: %.120s", text);
    longjmp(r->failed, 1);
}

/* Warnings are for what it could read in spite of errors. That the end is missing is one:
 * the rest of the picture would be grey. Others, of odd bytes between parts, do no harm. */
static void warn(j_common_ptr jpeg, int level) {
    int code = jpeg->err->msg_code;
    if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER))
        fail(jpeg);
}

/* The library can shrink to n/8 while it decodes, which is much faster than to decode
 * all and shrink then: takes the smallest that is still large enough. */
static void choose_scale(struct jpeg_decompress_struct *jpeg, int side) {
    int longest =
        (int)(jpeg->image_width > jpeg->image_height ? jpeg->image_width : jpeg->image_height);
    jpeg->scale_denom = 8;
    jpeg->scale_num = 1;
    while (jpeg->scale_num < 8 && (int64_t)longest * jpeg->scale_num / 8 < side)
        jpeg->scale_num++;
}

/* Four inks, as printers' pictures have them; Adobe's programs store them inverted. */
static void from_cmyk(unsigned char *pixels, size_t count, bool inverted) {
    for (size_t i = 0; i < count; i++) {
        const unsigned char *ink = pixels + 4 * i;
        int k = inverted ? ink[3] : 255 - ink[3];
        unsigned char rgb[3];
        for (int c = 0; c < 3; c++)
            rgb[c] = (unsigned char)((inverted ? ink[c] : 255 - ink[c]) * k / 255);
        memcpy(pixels + 3 * i, rgb, 3);
    }
}

static bool decode(struct reader *r, FILE *file, int side, size_t memory) {
    struct jpeg_decompress_struct *jpeg = &r->jpeg;
    jpeg_stdio_src(jpeg, file);
    jpeg->mem->max_memory_to_use = (long)(memory / 2);
    jpeg_save_markers(jpeg, EXIF, 0xffff);
    jpeg_read_header(jpeg, TRUE);
    for (jpeg_saved_marker_ptr m = jpeg->marker_list; m && *r->orientation == 1; m = m->next)
        *r->orientation = picture_orientation(m->data, m->data_length);
    choose_scale(jpeg, side);
    bool inks = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
    jpeg->out_color_space = inks ? JCS_CMYK : JCS_RGB;
    jpeg_calc_output_dimensions(jpeg);
    size_t row = (size_t)jpeg->output_width * (inks ? 4 : 3);
    if (row * jpeg->output_height > memory / 6) {
        snprintf(r->why, PICTURE_WHY, "too large: %u x %u pixels (see --memory)", jpeg->image_width,
                 jpeg->image_height);
        return false;
    }
    r->pixels = malloc(row * jpeg->output_height);
    if (!r->pixels) {
        snprintf(r->why, PICTURE_WHY, "not enough memory");
        return false;
    }
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW to = r->pixels + row * jpeg->output_scanline;
        jpeg_read_scanlines(jpeg, &to, 1);
    }
    if (inks)
        from_cmyk(r->pixels, (size_t)jpeg->output_width * jpeg->output_height,
                  jpeg->saw_Adobe_marker);
    jpeg_finish_decompress(jpeg);
    return true;
}

bool picture_read_jpeg(void *file, int side, size_t memory, struct WebPPicture *picture,
                       int *orientation, char why[PICTURE_WHY]) {
    struct reader *r = calloc(1, sizeof *r); /* not on the stack: longjmp would lose it */
    if (!r) {
        snprintf(why, PICTURE_WHY, "not enough memory");
        return false;
    }
    r->orientation = orientation;
    r->why = why;
    r->jpeg.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = fail;
    r->errors.emit_message = warn;
    r->jpeg.client_data = r;
    volatile bool good = false;
    if (setjmp(r->failed) == 0) {
        jpeg_create_decompress(&r->jpeg);
        good = decode(r, file, side, memory);
    }
    if (good) {
        picture->width = (int)r->jpeg.output_width;
        picture->height = (int)r->jpeg.output_height;
        good = WebPPictureImportRGB(picture, r->pixels, picture->width * 3);
        if (!good)
            snprintf(why, PICTURE_WHY, "not enough memory");
    }
    jpeg_destroy_decompress(&r->jpeg);
    free(r->pixels);
    free(r);
    return good;
}
