/* gaussian_yolo.c - [Gaussian_yolo]: a yolo head that predicts the uncertainty of every box value, too (Choi
 * et al. 2019, "Gaussian YOLOv3"). Its keys, and the likelihood that trains a box; the rest is yolo.c and
 * yolo_loss.c. compat.md 20.8. */
#include "yolo.h"

#include <math.h>
#include <string.h>

static const dn_key keys[] = {
#define KEY(name, fallback, meaning) {name, fallback, meaning},
#include "yolo_keys.h"
#undef KEY
    {"uc_normalizer", "1", "fork: factor of the gradient of the uncertainties"},
    {"yolo_point", "center", "fork: what x and y mean: center, left_top or right_bottom of the box"},
    {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    yolo_settings *s = layer->settings;
    DN_TRY(dn_yolo_configure(layer, section, graph, true));
    DN_TRY(dn_option_float(&s->uc_normalizer, section, "uc_normalizer", -1e6f, 1e6f));
    const char *point = dn_option_text(section, "yolo_point");
    if (strcmp(point, "left_top") == 0)
        s->point = -.5f;
    else if (strcmp(point, "right_bottom") == 0)
        s->point = .5f;
    else if (strcmp(point, "center") != 0)
        return dn_option_error(section, "yolo_point", "must be center, left_top or right_bottom, not %s",
                               point);
    return DN_OK;
}

/* Value t is normally distributed around the predicted mean with deviation d = u + .3, u the predicted
 * uncertainty in 0..1. The loss is -log(N(t) + 1e-9): the constants keep a small d, and a target far off,
 * from giving endless gradients. With r = (t - mean) / d and p = N / (N + 1e-9) the loss falls along p r / d
 * in the mean and along p (r^2 - 1) / d in u. Both are taken through to the layer's input: the logistic,
 * stretched for x and y, and nothing for w and h. */
double dn_gaussian_delta(const yolo_settings *s, const float *out, float *delta, const float target[4],
                         float mean_scale, float uncertainty_scale) {
    const float least = .3f, tiny = 1e-9f, root_of_two_pi = 2.506628275f;
    size_t cells = (size_t)s->w * (size_t)s->h;
    double loss = 0;
    for (size_t e = 0; e < 4; ++e) {
        size_t at = dn_yolo_value(s, e);
        float mean = out[at], u = out[at + cells], d = u + least, r = (target[e] - mean) / d;
        float density = expf(-.5f * r * r) / (root_of_two_pi * d), p = density / (density + tiny), slope = 1;
        if (e < 2) { /* mean = stretch l - (stretch - 1) / 2, l = logistic(input): stretch l (1 - l) */
            float stretched = mean + .5f * (s->scale_x_y - 1);
            slope = s->scale_x_y > 0 ? stretched * (1 - stretched / s->scale_x_y) : 0;
        }
        delta[at] += mean_scale * p * r / d * slope;
        delta[at + cells] += uncertainty_scale * p * (r * r - 1) / d * u * (1 - u);
        loss -= log((double)density + (double)tiny);
    }
    return loss;
}

const dn_layer_type dn_type_gaussian_yolo = {
    .name = "Gaussian_yolo",
    .summary = "detection head that also predicts how sure its boxes are",
    .keys = keys,
    .settings_size = sizeof(yolo_settings),
    .configure = configure,
    .release = dn_yolo_release,
    .forward = dn_yolo_forward,
    .backward = dn_yolo_backward,
    .detect = dn_yolo_detect,
    .head_info = dn_yolo_head_info,
    .mirror = dn_yolo_mirror,
};
