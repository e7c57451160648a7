/* test_image.c - image operations and augmentation: edges, bad arguments, determinism. The numbers of the
 * reference are met by the golden tests in Python. */
#include "../../src/base/base.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

static void check(bool good, const char *name) {
    printf("%s %s\n", good ? "ok" : "FAIL", name);
    failures += !good;
}

static bool near(double a, double b) {
    return fabs(a - b) < 1e-5;
}

static bool message_has(const char *part) {
    return strstr(dn_error_message(), part) != NULL;
}

/* values start, start + step, ... */
static void fill(float *out, size_t count, float start, float step) {
    for (size_t i = 0; i < count; ++i) out[i] = start + step * (float)i;
}

static bool all_equal(const float *values, size_t count, float wanted) {
    for (size_t i = 0; i < count; ++i)
        if (values[i] != wanted) return false;
    return true;
}

/* Textbook version: position x * (w - 1) / (out_w - 1) on both axes. */
static float resized_at(const float *image, int w, int h, int out_w, int out_h, int x, int y) {
    double u = out_w > 1 ? (double)x * (w - 1) / (out_w - 1) : w - 1,
           v = out_h > 1 ? (double)y * (h - 1) / (out_h - 1) : 0;
    int left = dn_min_int((int)u, w - 1), top = dn_min_int((int)v, h - 1);
    int right = dn_min_int(left + 1, w - 1), bottom = dn_min_int(top + 1, h - 1);
    double fu = u - left, fv = v - top;
    double upper = (1 - fu) * image[top * w + left] + fu * image[top * w + right];
    double lower = (1 - fu) * image[bottom * w + left] + fu * image[bottom * w + right];
    return (float)((1 - fv) * upper + fv * lower);
}

static void test_resize(void) {
    const int sizes[][4] = {{1, 1, 5, 4},   {1, 7, 3, 3},   {7, 1, 3, 3},   {5, 4, 1, 1}, {2, 2, 13, 11},
                            {13, 11, 2, 2}, {17, 19, 8, 9}, {8, 9, 17, 33}, {6, 6, 6, 3}, {6, 6, 3, 6}};
    float image[2 * 400], out[2 * 600];
    fill(image, DN_COUNT(image), 0, 0.37f);
    for (size_t i = 0; i < DN_COUNT(image); ++i) image[i] -= floorf(image[i]);
    for (size_t i = 0; i < DN_COUNT(sizes); ++i) {
        int w = sizes[i][0], h = sizes[i][1], out_w = sizes[i][2], out_h = sizes[i][3];
        bool good = dn_image_resize(out, out_w, out_h, image, w, h, 2) == DN_OK;
        for (int k = 0; k < 2; ++k)
            for (int y = 0; y < out_h; ++y)
                for (int x = 0; x < out_w; ++x)
                    good = good && near(out[(k * out_h + y) * out_w + x],
                                        resized_at(image + k * w * h, w, h, out_w, out_h, x, y));
        char name[80];
        snprintf(name, sizeof name, "resize %dx%d to %dx%d", w, h, out_w, out_h);
        check(good, name);
    }
    check(dn_image_resize(out, 20, 20, image, 20, 20, 1) == DN_OK && !memcmp(out, image, 400 * sizeof *out),
          "resize to the same size copies");
}

/* As floats, 415 * (15 / 415) is just below 15: the last row's position rounds down, and the reference leaves
 * it nearly black. */
static void test_resize_last_row(void) {
    enum { source = 16, target = 416 };
    static float image[source], out[target];
    for (int i = 0; i < source; ++i) image[i] = 1;
    float scale = (float)(source - 1) / (float)(target - 1), position = scale * (float)(target - 1);
    dn_image_resize(out, 1, target, image, 1, source, 1);
    check(position < source - 1 && near(out[target - 1], 1 - (position - (source - 2))),
          "the last row takes nothing from below");
    check(near(out[target - 2], 1), "the row before it does");
}

static void test_letterbox(void) {
    float image[3 * 4 * 2], out[3 * 8 * 8];
    fill(image, DN_COUNT(image), 1, 0);
    dn_image_letterbox(out, 8, 8, image, 4, 2, 3);
    bool bars = true;
    for (int k = 0; k < 3; ++k) {
        bars = bars && all_equal(out + k * 64, 16, 0.5f) && all_equal(out + k * 64 + 48, 16, 0.5f);
        bars = bars && all_equal(out + k * 64 + 16, 32, 1);
    }
    check(bars, "wide image: bars above and below");
    dn_image_letterbox(out, 7, 4, image, 2, 4, 3);
    check(all_equal(out, 2, 0.5f) && all_equal(out + 2, 2, 1) && all_equal(out + 4, 3, 0.5f),
          "tall image: bars beside");
    check(dn_image_letterbox(out, 8, 8, image, 24, 1, 1) == DN_OK && all_equal(out + 24, 8, 1) &&
              out[0] == 0.5f,
          "an image too thin for a row keeps one");
    check(dn_image_letterbox(out, 1, 1, image, 4, 2, 3) == DN_OK && near(out[0], 1), "into one pixel");
}

static void test_bytes(void) {
    uint8_t bytes[256 * 3], back[256 * 3];
    float image[256 * 3];
    for (size_t i = 0; i < sizeof bytes; ++i) bytes[i] = (uint8_t)(i * 7);
    dn_image_from_bytes(image, bytes, 16, 16, 3, 0);
    dn_image_to_bytes(back, image, 16, 16, 3);
    check(image[256] == (float)bytes[1] / 255 && !memcmp(bytes, back, sizeof bytes),
          "bytes survive both ways");
    dn_image_from_bytes(image, bytes, 16, 16, 3, 1);
    check(image[0] == (float)bytes[2] / 255, "bgr swaps first and third channel");
    check(dn_image_from_bytes(image, bytes, 16, 16, 1, 1) == DN_ERROR_IMAGE, "bgr of one channel");
    const float odd[4] = {NAN, -1, 2, INFINITY};
    dn_image_to_bytes(back, odd, 4, 1, 1);
    check(back[0] == 0 && back[1] == 0 && back[2] == 255 && back[3] == 255, "bytes of impossible values");
}

static void test_crop_and_flip(void) {
    float image[6] = {0, 1, 2, 3, 4, 5}, out[25]; /* 3 x 2 */
    dn_image_crop(out, 5, 4, -1, -1, image, 3, 2, 1);
    const float row[5] = {0, 0, 1, 2, 2};
    check(!memcmp(out, row, sizeof row) && !memcmp(out + 5, row, sizeof row) && out[19] == 5,
          "edges are repeated");
    dn_image_crop(out, 2, 2, 100, -100, image, 3, 2, 1);
    check(all_equal(out, 4, 2), "a window far outside");
    dn_image_crop(out, 5, 5, 2147483647, -2147483647 - 1, image, 3, 2, 1);
    check(all_equal(out, 25, 2), "extreme offsets");
    dn_image_flip(image, 3, 2, 1);
    check(image[0] == 2 && image[1] == 1 && image[5] == 3, "flip mirrors rows");
}

static void test_place_and_rotate(void) {
    float image[9], canvas[25], out[9];
    fill(image, 9, 1, 0);
    fill(canvas, 25, 0, 0);
    dn_image_place(canvas, 5, 5, 3, 3, 1, 1, image, 3, 3, 1);
    check(canvas[0] == 0 && canvas[6] == 1 && canvas[18] == 1 && canvas[24] == 0, "placed at its offset");
    check(dn_image_place(canvas, 5, 5, 3, 3, 2147483647, 0, image, 3, 3, 1) == DN_OK,
          "placed outside draws nothing");
    check(dn_image_place(canvas, 5, 5, 0, 3, 0, 0, image, 3, 3, 1) == DN_ERROR_IMAGE, "placed with no width");
    fill(canvas, 25, 0, 0);
    dn_image_place(canvas, 5, 5, 10, 10, -5, -5, image, 1, 1, 1);
    check(near(canvas[0], 0.25) && canvas[24] < 0.05f, "right and bottom edges fade to zero");
    fill(image, 9, 0, 1);
    dn_image_rotate_crop(out, 3, 3, 0, 1, 0, 0, 1, image, 3, 3, 1);
    check(!memcmp(out, image, sizeof out), "no rotation changes nothing");
    check(dn_image_rotate_crop(out, 3, 3, 0, 0, 0, 0, 1, image, 3, 3, 1) == DN_ERROR_ARGUMENT, "scale 0");
    check(dn_image_rotate_crop(out, 3, 3, NAN, 1, 0, 0, 1, image, 3, 3, 1) == DN_ERROR_ARGUMENT, "NaN angle");
    check(dn_image_rotate_crop(out, 3, 3, 0, 1, 1e30f, 0, 1, image, 3, 3, 1) == DN_OK && all_equal(out, 9, 0),
          "far outside is zero");
}

static void test_color(void) {
    float grey[3] = {0.4f, 0.4f, 0.4f}, black[3] = {0, 0, 0}, red[3] = {1, 0, 0};
    dn_image_rgb_to_hsv(grey, 1, 1);
    check(isnan(grey[0]) && grey[1] == 0 && grey[2] == 0.4f, "grey has no hue");
    dn_image_hsv_to_rgb(grey, 1, 1);
    check(all_equal(grey, 3, 0.4f), "grey comes back");
    dn_image_rgb_to_hsv(black, 1, 1);
    check(all_equal(black, 3, 0), "black");
    dn_image_distort(red, 1, 1, 1 / 3.0f, 1, 1);
    check(near(red[0], 0) && near(red[1], 1) && near(red[2], 0), "a third of the circle: red becomes green");
    dn_image_distort(red, 1, 1, 0, 1, 3);
    check(red[1] == 1, "distort clamps");
    check(dn_image_distort(red, 1, 1, NAN, 1, 1) == DN_ERROR_ARGUMENT, "NaN hue");
}

static void test_arguments(void) {
    float image[3] = {0}, out[3];
    uint8_t bytes[3] = {0};
    check(dn_image_resize(out, 1, 1, NULL, 1, 1, 3) == DN_ERROR_ARGUMENT && message_has("dn_image_resize"),
          "NULL image");
    check(dn_image_resize(NULL, 1, 1, image, 1, 1, 3) == DN_ERROR_ARGUMENT, "NULL out");
    check(dn_image_resize(out, 0, 1, image, 1, 1, 3) == DN_ERROR_IMAGE, "width 0");
    check(dn_image_letterbox(out, 1, 1, image, -1, 1, 3) == DN_ERROR_IMAGE, "negative width");
    check(dn_image_crop(out, 1, 1, 0, 0, image, 1 << 24, 1 << 24, 1 << 24) == DN_ERROR_IMAGE, "absurd sizes");
    check(dn_image_flip(image, 2147483647, 1, 1) == DN_ERROR_IMAGE, "absurd width");
    check(dn_image_from_bytes(out, NULL, 1, 1, 3, 0) == DN_ERROR_ARGUMENT, "NULL bytes");
    check(dn_image_to_bytes(NULL, image, 1, 1, 3) == DN_ERROR_ARGUMENT, "NULL bytes out");
    check(dn_image_from_bytes(out, bytes, 1, 1, 0, 0) == DN_ERROR_IMAGE, "no channels");
}

enum { size = 24, rows = 4, columns = 6 };

static void test_augment_detection(void) {
    static float image[3 * 30 * 20], out[3 * size * size], again[3 * size * size];
    float truth[rows * columns], truth_again[rows * columns];
    const float boxes[] = {2, 0.5f, 0.5f, 0.4f,    0.4f, 1, 0,   0,    0, 0,
                           0, 0.2f, 0.2f, 0.0001f, 0.1f, 3, NAN, 0.5f, 1, 1};
    fill(image, DN_COUNT(image), 0, 0.0005f);
    dn_augment_options options;
    dn_augment_options_init(&options);
    options.hue = 0.1f;
    options.saturation = options.exposure = 1.5f;
    bool same = true, inside = true, steps_differ = false, counted = true;
    float first[rows * columns];
    for (uint64_t step = 0; step < 200; ++step) {
        same = same && dn_augment_detection(out, size, size, truth, rows, columns, image, 30, 20, boxes, 4,
                                            &options, 7, step, 3) == DN_OK;
        dn_augment_detection(again, size, size, truth_again, rows, columns, image, 30, 20, boxes, 4, &options,
                             7, step, 3);
        same = same && !memcmp(out, again, sizeof out) && !memcmp(truth, truth_again, sizeof truth);
        if (step == 0) memcpy(first, truth, sizeof first);
        steps_differ = steps_differ || memcmp(first, truth, sizeof truth) != 0;
        int places = 0, class_only = 0;
        for (int i = 0; i < rows; ++i) {
            const float *row = truth + i * columns;
            class_only += row[0] == 999999 && row[3] == 999999 && row[4] == 1;
            places += row[4] == 2 && row[0] - row[2] / 2 > -1e-5f && row[0] + row[2] / 2 < 1 + 1e-5f;
            inside = inside && row[5] == 0;
        }
        counted = counted && places == 1 && class_only == 1 && all_equal(truth + 2 * columns, 2 * columns, 0);
    }
    check(same, "the same key gives the same image and truth");
    check(steps_differ, "another step gives another variant");
    check(inside && counted, "tiny and NaN boxes are dropped, a box at 0, 0 is class-only, the rest is zero");
    check(dn_augment_detection(out, size, size, truth, 1, 5, image, 30, 20, boxes, 4, &options, 7, 0, 3) ==
              DN_OK,
          "more boxes than rows");
    check(dn_augment_detection(out, size, size, truth, rows, columns, image, 30, 20, NULL, 0, &options, 7, 0,
                               3) == DN_OK &&
              all_equal(truth, rows * columns, 0),
          "no boxes");
    check(dn_augment_detection(out, size, size, truth, rows, 4, image, 30, 20, boxes, 4, &options, 7, 0, 3) ==
              DN_ERROR_ARGUMENT,
          "truth rows of four values");
}

/* Without jitter a square image fills the canvas, so only the mirror is left. */
static void test_augment_mirror(void) {
    float image[3 * 16], out[3 * 16], truth[5];
    const float box[5] = {0, 0.25f, 0.5f, 0.25f, 0.5f};
    fill(image, DN_COUNT(image), 0.01f, 0.01f);
    dn_augment_options options;
    dn_augment_options_init(&options);
    options.jitter = 0;
    int mirrored = 0, consistent = 0;
    for (uint64_t sample = 0; sample < 100; ++sample) {
        dn_augment_detection(out, 4, 4, truth, 1, 5, image, 4, 4, box, 1, &options, 1, 0, sample);
        bool flipped = out[0] != image[0];
        mirrored += flipped;
        consistent += near(truth[0], flipped ? 0.75 : 0.25) && near(truth[2], 0.25) && near(truth[3], 0.5);
    }
    check(consistent == 100, "boxes follow the image");
    check(mirrored > 25 && mirrored < 75, "about half of the images are mirrored");
    options.flip = 0;
    bool straight = true;
    for (uint64_t sample = 0; sample < 50; ++sample) {
        dn_augment_detection(out, 4, 4, truth, 1, 5, image, 4, 4, box, 1, &options, 1, 0, sample);
        straight = straight && !memcmp(out, image, sizeof out);
    }
    check(straight, "flip=0 never mirrors");
}

static void test_augment_grid(void) {
    static float image[3 * 30 * 20], out[3 * size * size], again[3 * size * size];
    float truth[4 * 7], truth_again[4 * 7];
    const float boxes[] = {1, 0.3f, 0.3f, 0.2f, 0.2f, 9, NAN, 0.5f, 1, 1};
    fill(image, DN_COUNT(image), 0, 0.0005f);
    dn_augment_options options;
    dn_augment_options_init(&options);
    options.jitter = 0.99f; /* windows of a pixel, and of nine times the image */
    bool same = true;
    for (uint64_t step = 0; step < 100; ++step) {
        same = same && dn_augment_grid(out, size, size, truth, 2, 2, image, 30, 20, boxes, 2, &options, 7,
                                       step, 3) == DN_OK;
        dn_augment_grid(again, size, size, truth_again, 2, 2, image, 30, 20, boxes, 2, &options, 7, step, 3);
        same = same && !memcmp(out, again, sizeof out) && !memcmp(truth, truth_again, sizeof truth);
    }
    check(same, "the same key gives the same crop and grid");
    options.jitter = 0;
    options.flip = 0;
    dn_augment_grid(out, size, size, truth, 2, 2, image, 30, 20, boxes, 2, &options, 7, 0, 3);
    check(truth[0] == 1 && truth[1] == 0 && truth[2] == 1 && near(truth[3], 0.6) && near(truth[4], 0.6) &&
              near(truth[5], 0.2) && near(truth[6], 0.2) && all_equal(truth + 7, 21, 0),
          "an object is in its cell");
    check(dn_augment_grid(out, size, size, truth, 0, 2, image, 30, 20, boxes, 2, &options, 7, 0, 3) ==
              DN_ERROR_ARGUMENT,
          "no cells");
    check(dn_augment_grid(out, size, size, NULL, 2, 2, image, 30, 20, boxes, 2, &options, 7, 0, 3) ==
              DN_ERROR_ARGUMENT,
          "no grid");
}

static void test_augment_classification(void) {
    static float image[3 * 40 * 30], out[3 * size * size], again[3 * size * size];
    fill(image, DN_COUNT(image), 0, 0.0002f);
    dn_augment_options options;
    dn_augment_options_init(&options);
    options.angle = 7;
    options.aspect = 0.75f;
    options.saturation = options.exposure = 0; /* 0: no change */
    options.min_size = 24;
    options.max_size = 40;
    bool same = dn_augment_classification(out, size, size, image, 40, 30, 3, &options, 1, 2, 3) == DN_OK;
    dn_augment_classification(again, size, size, image, 40, 30, 3, &options, 1, 2, 3);
    check(same && !memcmp(out, again, sizeof out), "the same key gives the same crop");
    dn_augment_classification(again, size, size, image, 40, 30, 3, &options, 2, 2, 3);
    check(memcmp(out, again, sizeof out) != 0, "another seed gives another crop");
    check(dn_augment_classification(out, 5, 9, image, 1, 1, 1, &options, 1, 2, 3) == DN_OK, "one grey pixel");
    options.struct_size = 4;
    check(dn_augment_classification(out, 5, 9, image, 1, 1, 1, &options, 1, 2, 3) == DN_ERROR_ARGUMENT,
          "old options");
    dn_augment_options_init(&options);
    options.jitter = 1;
    check(dn_augment_classification(out, 5, 9, image, 1, 1, 1, &options, 1, 2, 3) == DN_ERROR_ARGUMENT,
          "jitter 1");
    check(dn_augment_classification(out, 5, 9, image, 1, 1, 1, NULL, 1, 2, 3) == DN_ERROR_ARGUMENT,
          "NULL options");
}

static void *refuse(size_t bytes, void *user) {
    int *left = user;
    return (*left)-- > 0 ? malloc(bytes) : NULL;
}

static void release(void *memory, void *user) {
    (void)user;
    free(memory);
}

static void test_no_memory(void) {
    float image[12] = {0}, out[48], truth[5];
    dn_augment_options options;
    dn_augment_options_init(&options);
    const float box[5] = {0, 0.5f, 0.5f, 0.5f, 0.5f};
    bool clean = true;
    for (int allowed = 0; allowed < 6; ++allowed) {
        int left = allowed;
        dn_memory_set(refuse, release, &left);
        dn_status resized = dn_image_resize(out, 4, 4, image, 2, 2, 3);
        left = allowed;
        dn_status augmented =
            dn_augment_detection(out, 4, 4, truth, 1, 5, image, 2, 2, box, 1, &options, 1, 0, 0);
        dn_memory_set(NULL, NULL, NULL);
        clean = clean && resized == (allowed < 3 ? DN_ERROR_NO_MEMORY : DN_OK);
        clean = clean && augmented == (allowed < 2 ? DN_ERROR_NO_MEMORY : DN_OK);
    }
    check(clean, "failing allocations are reported");
}

int main(void) {
    test_resize();
    test_resize_last_row();
    test_letterbox();
    test_bytes();
    test_crop_and_flip();
    test_place_and_rotate();
    test_color();
    test_arguments();
    test_augment_detection();
    test_augment_mirror();
    test_augment_grid();
    test_augment_classification();
    test_no_memory();
    return failures != 0;
}
