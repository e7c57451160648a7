/* crop.c - [crop]: a window of the input, its values mapped from 0..1 to -1..1. The centre at test time; in
 * training a random place, mirrored, turned and recoloured as the keys say, drawn for each image by itself.
 * No gradient passes. compat.md 6.8. */
#include "layer.h"

typedef struct crop_settings {
    int crop_w, crop_h, base_w, base_h; /* as the cfg says, and the input it says so of */
    bool flip, no_adjust;
    float angle, saturation, exposure, shift; /* angle in radians */
} crop_settings;

static const dn_key keys[] = {
    {"crop_height", "1", "height of the window"},
    {"crop_width", "1", "width of the window"},
    {"flip", "0", "training: mirror every other image at random"},
    {"angle", "0", "training: turn by up to this many degrees either way"},
    {"saturation", "1", "training: saturation is multiplied or divided by up to this (3 channels only)"},
    {"exposure", "1", "training: the same for brightness"},
    {"shift", "0", "training: each of 3 colours is moved by up to half of this either way"},
    {"noadjust", "0", "values stay as they are, instead of 2 x - 1"},
    {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    crop_settings *s = layer->settings;
    const float degree = 0.01745329252f;
    DN_TRY(dn_layer_needs_image(layer, section));
    DN_TRY(dn_option_int(&s->crop_h, section, "crop_height", 1, 1 << 24));
    DN_TRY(dn_option_int(&s->crop_w, section, "crop_width", 1, 1 << 24));
    DN_TRY(dn_option_flag(&s->flip, section, "flip"));
    DN_TRY(dn_option_float(&s->angle, section, "angle", -1e6f, 1e6f));
    DN_TRY(dn_option_float(&s->saturation, section, "saturation", 1e-3f, 1e3f));
    DN_TRY(dn_option_float(&s->exposure, section, "exposure", 1e-3f, 1e3f));
    DN_TRY(dn_option_float(&s->shift, section, "shift", -1e6f, 1e6f));
    DN_TRY(dn_option_flag(&s->no_adjust, section, "noadjust"));
    s->angle *= degree;
    s->base_w = layer->in_w;
    s->base_h = layer->in_h;
    if (graph->before) { /* a resized network crops the same share of its input */
        const crop_settings *first = graph->before[layer->index].settings;
        s->base_w = first->base_w;
        s->base_h = first->base_h;
    }
    int w = (int)((int64_t)s->crop_w * layer->in_w / s->base_w);
    int h = (int)((int64_t)s->crop_h * layer->in_h / s->base_h);
    if (w > layer->in_w || h > layer->in_h)
        return dn_option_error(section, NULL, "a window of %d x %d does not fit an input of %d x %d", w, h,
                               layer->in_w, layer->in_h);
    return dn_layer_set_output(layer, section, w, h, layer->in_c);
}

/* All numbers are drawn whatever the keys say, so that no key shifts the others. */
static void draw(const dn_layer *layer, const dn_run *run, int image, dn_crop *crop) {
    const crop_settings *s = layer->settings;
    const int room_x = layer->in_w - layer->out_w, room_y = layer->in_h - layer->out_h;
    uint64_t stream = (uint64_t)layer->index + 1 + ((uint64_t)(image + 1) << 32);
    dn_random random = dn_random_keyed(run->seed, stream, run->step);
    crop->left = dn_random_int(&random, 0, room_x);
    crop->top = dn_random_int(&random, 0, room_y);
    crop->flip = (dn_random_bits(&random) & 1) && s->flip;
    crop->angle = dn_random_uniform(&random, -s->angle, s->angle);
    crop->saturation = dn_random_scale(&random, s->saturation);
    crop->exposure = dn_random_scale(&random, s->exposure);
    for (int k = 0; k < 3; ++k) {
        float shift = s->shift * (dn_random_unit(&random) - 0.5f);
        if (layer->in_c == 3) crop->offset[k] += shift;
    }
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const crop_settings *s = layer->settings;
    const dn_crop_shape shape = {layer->in_c, layer->in_h, layer->in_w, layer->out_h, layer->out_w};
    const float offset = s->no_adjust ? 0 : -1;
    for (int b = 0; b < run->batch; ++b) {
        dn_crop crop = {.top = (layer->in_h - layer->out_h) / 2,
                        .left = (layer->in_w - layer->out_w) / 2,
                        .saturation = 1,
                        .exposure = 1,
                        .factor = s->no_adjust ? 1 : 2,
                        .offset = {offset, offset, offset}};
        if (run->train) draw(layer, run, b, &crop);
        run->ops->crop(run->device, &shape, &crop, dn_run_input(run, layer) + (size_t)b * layer->inputs,
                       run->output[layer->index] + (size_t)b * layer->outputs);
    }
    return DN_OK;
}

const dn_layer_type dn_type_crop = {
    .name = "crop",
    .summary = "a window of the input, at random in training; no gradient passes",
    .keys = keys,
    .settings_size = sizeof(crop_settings),
    .configure = configure,
    .forward = forward,
};
