/* test_crop.c - windows of images: copies to the bit, quarter turns, colours against the image library. */
#include "../../include/dn.h"
#include "targets.h"

enum { CHANNELS = 3 };

static size_t at(const dn_crop_shape *s, int k, int y, int x) {
    return ((size_t)k * (size_t)s->h + (size_t)y) * (size_t)s->w + (size_t)x;
}

static void test_copies(dn_crop_shape s, int top, int left, bool flip) {
    size_t inputs = (size_t)s.c * (size_t)s.h * (size_t)s.w,
           outputs = (size_t)s.c * (size_t)s.out_h * (size_t)s.out_w;
    const dn_crop how = {top, left, flip, 0, 1, 1, 2, {-1, .5f, 3}};
    float *x = numbers(inputs, 1);
    target y = target_new("crop", outputs, 1);
    ON_EVERY_DEVICE(t) ops->crop(devices[t], &s, &how, x, y.got[t]);
    for (size_t i = 0; i < outputs; ++i) {
        int column = (int)(i % (size_t)s.out_w), row = (int)(i / (size_t)s.out_w % (size_t)s.out_h);
        int k = (int)(i / (size_t)s.out_w / (size_t)s.out_h);
        float value = x[at(&s, k, top + row, left + (flip ? s.out_w - 1 - column : column))];
        y.want[i] = 2 * value + how.offset[dn_min_int(k, 2)];
    }
    target_check(&y, 1);
    dn_free(x);
}

/* A square turned by a quarter is a permutation of its pixels. */
static void test_quarter_turn(int side) {
    const dn_crop_shape s = {2, side, side, side, side};
    const dn_crop how = {0, 0, false, 1.57079632679f, 1, 1, 1, {0}};
    size_t n = 2 * (size_t)side * (size_t)side;
    float *x = numbers(n, 1);
    target y = target_new("crop turned", n, 1);
    ON_EVERY_DEVICE(t) ops->crop(devices[t], &s, &how, x, y.got[t]);
    for (int k = 0; k < 2; ++k)
        for (int i = 0; i < side; ++i)
            for (int j = 0; j < side; ++j) y.want[at(&s, k, i, j)] = x[at(&s, k, j, side - 1 - i)];
    target_check(&y, 10 * (double)side);
    dn_free(x);
}

/* Outside the image there is nothing. */
static void test_corners(void) {
    const dn_crop_shape s = {1, 20, 20, 20, 20};
    const dn_crop how = {0, 0, true, .785398f, 1, 1, 1, {0}};
    float *x = numbers(400, 1), *y = numbers(400, 1);
    for (int i = 0; i < 400; ++i) x[i] = 1;
    ops->crop(devices[0], &s, &how, x, y);
    if (y[0] != 0 || y[19] != 0 || y[380] != 0 || y[399] != 0) report("cpu", "crop corners", 0, INFINITY);
    report("cpu", "crop centre", 0, distance((double)y[10 * 20 + 10], 1));
    dn_free(x), dn_free(y);
}

static void test_colours(int w, int h, float saturation, float exposure) {
    const dn_crop_shape s = {CHANNELS, h, w, h, w};
    const dn_crop how = {0, 0, false, 0, saturation, exposure, 1, {0}};
    size_t n = (size_t)CHANNELS * (size_t)h * (size_t)w;
    target y = target_new("crop colours", n, 1);
    float *x = numbers(n, 1);
    for (size_t i = 0; i < n; ++i) x[i] = .2f + .1f * tanhf(x[i]); /* the image library clamps to 0..1 */
    for (size_t i = 0; i < n / CHANNELS; i += 5)                   /* grey */
        x[i + n / CHANNELS] = x[i + 2 * (n / CHANNELS)] = x[i];
    memcpy(y.want, x, n * sizeof *x);
    if (dn_image_distort(y.want, w, h, 0, saturation, exposure) != DN_OK)
        report("cpu", "crop colours", 0, INFINITY);
    ON_EVERY_DEVICE(t) ops->crop(devices[t], &s, &how, x, y.got[t]);
    target_check(&y, 2);
    dn_free(x);
}

int main(void) {
    source = dn_random_keyed(1, 2, 3);
    if (!open_devices()) return 1;
    for (int flip = 0; flip < 2; ++flip) {
        test_copies((dn_crop_shape){1, 1, 1, 1, 1}, 0, 0, flip);
        test_copies((dn_crop_shape){3, 7, 9, 4, 5}, 3, 2, flip);
        test_copies((dn_crop_shape){5, 130, 170, 100, 151}, 17, 19, flip);
    }
    for (int side = 1; side < 100; side += 33) test_quarter_turn(side);
    test_corners();
    test_colours(7, 5, 1.5f, 1);
    test_colours(90, 70, .6f, 1.3f);
    close_devices();
    done("crop", 0);
    return failures != 0;
}
