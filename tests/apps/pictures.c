/* pictures - makes pictures for thumbs.sh, and looks at those it is given.
 *
 * pictures KIND WIDTH HEIGHT FILE   the left half red, the right half blue; the lower half
 *                                   of kinds with alpha is transparent
 * pictures look FILE                of a WebP: its size, and the colours of four points */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>
#include <webp/decode.h>

static void fail(const char *what) {
    fprintf(stderr, "pictures: %s\n", what);
    exit(1);
}

static void *get(size_t size) {
    void *memory = malloc(size);
    if (!memory)
        fail("not enough memory");
    return memory;
}

/* ---- JPEG: rgb, grey (light and dark), cmyk (inverted, as Adobe has it), progressive,
 * turnedN (Exif orientation N, big-endian for odd N) ---- */

static void exif(struct jpeg_compress_struct *jpeg, int orientation) {
    unsigned char big[] = "Exif\0\0MM\0\x2a\0\0\0\x08\0\2"
                          "\1\0\0\3\0\0\0\1\0\x05\0\0\x01\x12\0\3\0\0\0\1\0.\0\0";
    unsigned char little[] = "Exif\0\0II\x2a\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0.\0\0\0";
    big[37] = little[24] = (unsigned char)orientation;
    if (orientation % 2)
        jpeg_write_marker(jpeg, JPEG_APP0 + 1, big, sizeof big - 1);
    else
        jpeg_write_marker(jpeg, JPEG_APP0 + 1, little, sizeof little - 1);
}

static void jpeg(const char *kind, unsigned width, unsigned height, FILE *to) {
    static const unsigned char rgb[2][4] = {{255, 0, 0}, {0, 0, 255}};
    static const unsigned char grey[2][4] = {{200}, {50}};
    static const unsigned char cmyk[2][4] = {{255, 0, 0, 255}, {0, 0, 255, 255}};
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    bool is_grey = strcmp(kind, "grey") == 0, inks = strcmp(kind, "cmyk") == 0;
    const unsigned char(*colours)[4] = is_grey ? grey : inks ? cmyk : rgb;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, to);
    jpeg.image_width = width;
    jpeg.image_height = height;
    jpeg.input_components = is_grey ? 1 : inks ? 4 : 3;
    jpeg.in_color_space = is_grey ? JCS_GRAYSCALE : inks ? JCS_CMYK : JCS_RGB;
    jpeg_set_defaults(&jpeg);
    if (strcmp(kind, "progressive") == 0)
        jpeg_simple_progression(&jpeg);
    if (inks)
        jpeg.write_Adobe_marker = TRUE;
    jpeg_start_compress(&jpeg, TRUE);
    if (strncmp(kind, "turned", 6) == 0)
        exif(&jpeg, kind[6] - '0');
    size_t n = (size_t)jpeg.input_components;
    unsigned char *row = get(width * n);
    for (unsigned x = 0; x < width; x++)
        memcpy(row + x * n, colours[x >= width / 2], n);
    while (jpeg.next_scanline < height)
        jpeg_write_scanlines(&jpeg, &row, 1);
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    free(row);
}

/* ---- PNG: rgba, interlaced, deep (16 bits), palette ---- */

static void png(const char *kind, unsigned width, unsigned height, FILE *to) {
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    bool palette = strcmp(kind, "palette") == 0;
    size_t depth = strcmp(kind, "deep") == 0 ? 2 : 1, n = palette ? 1 : 4 * depth;
    unsigned char *pixels = get(height * (width * n + sizeof(png_bytep)));
    png_bytepp rows = (png_bytepp)(void *)pixels;
    png_color colours[2] = {{255, 0, 0}, {0, 0, 255}};
    if (!info || setjmp(png_jmpbuf(png)))
        fail("libpng failed");
    for (unsigned y = 0; y < height; y++) {
        rows[y] = pixels + height * sizeof *rows + y * width * n;
        for (unsigned x = 0; x < width; x++) {
            unsigned char *at = rows[y] + x * n;
            memset(at, 0, n);
            if (palette) {
                *at = x >= width / 2;
            } else {
                memset(at + (x < width / 2 ? 0 : 2) * depth, 255, depth);
                memset(at + 3 * depth, y < height / 2 ? 255 : 0, depth);
            }
        }
    }
    png_init_io(png, to);
    if (palette)
        png_set_PLTE(png, info, colours, 2);
    png_set_IHDR(png, info, width, height, depth == 2 ? 16 : 8,
                 palette ? PNG_COLOR_TYPE_PALETTE : PNG_COLOR_TYPE_RGBA,
                 strcmp(kind, "interlaced") == 0 ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_rows(png, info, rows);
    png_write_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
    png_destroy_write_struct(&png, &info);
    free(pixels);
}

/* A progressive picture whose last scan comes two thousand times: some bytes each, and a
 * pass over the whole picture each. */
static void scans(unsigned width, unsigned height, FILE *to) {
    enum { TIMES = 2000 };
    char *bytes;
    size_t size, last = 0;
    FILE *once = open_memstream(&bytes, &size);
    if (!once)
        fail("not enough memory");
    jpeg("progressive", width, height, once);
    fclose(once);
    for (size_t i = 0; i + 1 < size; i++)
        if (memcmp(bytes + i, "\xff\xda", 2) == 0)
            last = i;
    fwrite(bytes, 1, last, to);
    for (int i = 0; i < TIMES; i++)
        fwrite(bytes + last, 1, size - 2 - last, to);
    fwrite("\xff\xd9", 1, 2, to);
    free(bytes);
}

/* A head that says width x height, as it should be, and nothing of these pixels. */
static void bomb(unsigned width, unsigned height, FILE *to) {
    unsigned char head[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR........\x08\x06\0\0\0....";
    png_save_uint_32(head + 16, width);
    png_save_uint_32(head + 20, height);
    unsigned long crc = 0xffffffff;
    for (int i = 12; i < 29; i++) {
        crc ^= head[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
    }
    png_save_uint_32(head + 29, (png_uint_32)~crc);
    fwrite(head, 1, 33, to);
    fwrite("\0\0\0\0IDAT\x35\xaf\x06\x1e", 1, 12, to);
}

/* ---- looking ---- */

static void look(const char *path) {
    int width, height;
    FILE *file = fopen(path, "rb");
    unsigned char *bytes = get(1 << 22);
    size_t size = file ? fread(bytes, 1, 1 << 22, file) : 0;
    unsigned char *rgba = WebPDecodeRGBA(bytes, size, &width, &height);
    if (!rgba)
        fail("not a WebP file");
    printf("%dx%d", width, height);
    for (int i = 0; i < 4; i++) {
        int x = (i % 2 ? 3 : 1) * width / 4, y = (i / 2 ? 3 : 1) * height / 4;
        const unsigned char *p = rgba + 4 * (y * width + x);
        const char *name = p[3] < 128                                     ? "clear"
                           : p[0] > 200 && p[1] < 60 && p[2] < 60         ? "red"
                           : p[2] > 200 && p[1] < 60 && p[0] < 60         ? "blue"
                           : abs(p[0] - p[1]) < 9 && abs(p[1] - p[2]) < 9 ? "grey"
                                                                          : "other";
        printf(" %s", name);
    }
    putchar('\n');
    WebPFree(rgba);
    free(bytes);
    fclose(file);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "look") == 0) {
        look(argv[2]);
        return 0;
    }
    FILE *to = argc == 5 ? fopen(argv[4], "wb") : NULL;
    if (!to)
        fail("KIND WIDTH HEIGHT FILE, of a file that can be written, or look FILE");
    const char *kind = argv[1];
    unsigned width = (unsigned)atoi(argv[2]), height = (unsigned)atoi(argv[3]);
    if (strcmp(kind, "bomb") == 0)
        bomb(width, height, to);
    else if (strcmp(kind, "scans") == 0)
        scans(width, height, to);
    else if (strstr("rgb grey cmyk progressive", kind) || strncmp(kind, "turned", 6) == 0)
        jpeg(kind, width, height, to);
    else if (strstr("rgba interlaced deep palette", kind))
        png(kind, width, height, to);
    else
        fail("no such kind");
    return fclose(to) ? 1 : 0;
}
