/* iseg.c - [iseg]: instance segmentation by embedding. Every pixel has a probability for each class and a
 * vector; vectors of one instance are drawn to their mean and pushed off the means of the others.
 * compat.md 6.25. */
#include "layer.h"

enum { INSTANCES = 90 /* in a truth, at most */ };

typedef struct iseg_settings {
    int classes, ids;
} iseg_settings;

static const dn_key keys[] = {
    {"classes", "20", "number of classes"},
    {"ids", "32", "length of a pixel's embedding"},
    {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    iseg_settings *s = layer->settings;
    DN_TRY(dn_layer_needs_image(layer, section));
    DN_TRY(dn_option_int(&s->classes, section, "classes", 1, 1 << 20));
    DN_TRY(dn_option_int(&s->ids, section, "ids", 1, 1 << 20));
    if (layer->in_c != s->classes + s->ids)
        return dn_option_error(section, NULL,
                               "%d classes and %d ids need %d channels, but the layer before has %d; set its "
                               "filters=%d",
                               s->classes, s->ids, s->classes + s->ids, layer->in_c, s->classes + s->ids);
    layer->has_cost = true;
    layer->truths = INSTANCES * ((size_t)layer->in_w * (size_t)layer->in_h + 1);
    layer->saved_fixed = INSTANCES * (size_t)s->ids; /* means */
    return dn_layer_set_output(layer, section, layer->in_w, layer->in_h, layer->in_c);
}

/* One image: its instances are `count` times a class and a mask of `pixels` values. */
typedef struct iseg_image {
    const iseg_settings *settings;
    const float *output, *truth;
    float *delta, *means; /* means[INSTANCES][ids] */
    size_t pixels;
    int count, sizes[INSTANCES]; /* sizes: pixels in the mask */
} iseg_image;

static const float *mask_of(const iseg_image *image, int instance) {
    return image->truth + (size_t)instance * (image->pixels + 1) + 1;
}

static dn_status read_instances(iseg_image *image, const dn_layer *layer, int b) {
    const iseg_settings *s = image->settings;
    for (image->count = 0; image->count < INSTANCES; ++image->count) {
        const float *mask = mask_of(image, image->count), label = mask[-1];
        if (label < 0) break;
        if (!(label < (float)s->classes))
            return dn_fail(
                DN_ERROR_DATA,
                "layer %d [iseg]: instance %d of image %d is of class %g, but there are %d classes",
                layer->index, image->count, b, (double)label, s->classes);
        int size = 0;
        for (size_t k = 0; k < image->pixels; ++k) size += mask[k] != 0;
        image->sizes[image->count] = size;
    }
    return DN_OK;
}

/* Without an instance a pixel is of no class, and its vector is drawn to 0. */
static void learn_classes(const iseg_image *image) {
    const size_t classes = (size_t)image->settings->classes, ids = (size_t)image->settings->ids;
    const size_t split = classes * image->pixels, end = (classes + ids) * image->pixels;
    for (size_t i = 0; i < split; ++i) image->delta[i] = -image->output[i];
    for (size_t i = split; i < end; ++i) image->delta[i] = -0.1f * image->output[i];
    for (int n = 0; n < image->count; ++n) {
        const float *mask = mask_of(image, n);
        const size_t plane = (size_t)mask[-1] * image->pixels;
        for (size_t k = 0; k < image->pixels; ++k)
            if (mask[k] != 0) image->delta[plane + k] = mask[k] - image->output[plane + k];
    }
}

static void find_means(const iseg_image *image) {
    const size_t ids = (size_t)image->settings->ids;
    const float *vectors = image->output + (size_t)image->settings->classes * image->pixels;
    for (int n = 0; n < image->count; ++n) {
        const float *mask = mask_of(image, n);
        for (size_t z = 0; z < ids; ++z) {
            const float *values = vectors + z * image->pixels;
            double sum = 0;
            for (size_t k = 0; k < image->pixels; ++k) sum += mask[k] != 0 ? (double)values[k] : 0;
            image->means[(size_t)n * ids + z] = (float)(sum / image->sizes[n]);
        }
    }
}

/* A step of fixed length towards the own mean and away from each of the others. */
static void learn_vectors(const iseg_image *image) {
    const size_t ids = (size_t)image->settings->ids, first = (size_t)image->settings->classes * image->pixels;
    for (int n = 0; n < image->count; ++n) {
        const float *mask = mask_of(image, n);
        for (int other = 0; other < image->count; ++other) {
            if (!image->sizes[n] || !image->sizes[other]) continue;
            const float step = other == n ? 0.1f : -0.1f;
            for (size_t z = 0; z < ids; ++z) {
                const float mean = image->means[(size_t)other * ids + z];
                const float *values = image->output + first + z * image->pixels;
                float *delta = image->delta + first + z * image->pixels;
                for (size_t k = 0; k < image->pixels; ++k)
                    delta[k] += mask[k] == 0 ? 0 : mean < values[k] ? -step : step;
            }
        }
    }
}

static dn_status loss(const dn_layer *layer, dn_run *run) {
    const iseg_settings *s = layer->settings;
    const size_t pixels = (size_t)layer->in_w * (size_t)layer->in_h;
    double cost = 0;
    if (run->truths != layer->truths)
        return dn_fail(DN_ERROR_DATA,
                       "layer %d [iseg] needs %d truths of %zu values per image, not %zu floats",
                       layer->index, INSTANCES, pixels + 1, run->truths);
    for (int b = 0; b < run->batch; ++b) {
        iseg_image image = {.settings = s,
                            .output = run->output[layer->index] + (size_t)b * layer->outputs,
                            .truth = run->truth + (size_t)b * run->truths,
                            .delta = run->delta[layer->index] + (size_t)b * layer->outputs,
                            .means = run->saved[layer->index],
                            .pixels = pixels};
        DN_TRY(read_instances(&image, layer, b));
        learn_classes(&image);
        find_means(&image);
        learn_vectors(&image);
        run->ops->scale(run->device, image.delta + (size_t)s->classes * pixels, 0.01f,
                        (size_t)s->ids * pixels);
        for (size_t i = 0; i < layer->outputs; ++i) cost += (double)image.delta[i] * (double)image.delta[i];
    }
    run->cost[layer->index] = (float)cost;
    return DN_OK;
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const iseg_settings *s = layer->settings;
    float *output = run->output[layer->index];
    run->ops->copy(run->device, output, dn_run_input(run, layer), (size_t)run->batch * layer->outputs);
    for (int b = 0; b < run->batch; ++b)
        run->ops->activate(run->device, DN_ACTIVATION_LOGISTIC, output + (size_t)b * layer->outputs, 1, 1,
                           (size_t)s->classes * (size_t)layer->in_w * (size_t)layer->in_h);
    return run->train && run->truth && !layer->only_forward ? loss(layer, run) : DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    dn_run_pass_delta(run, layer, 1);
    return DN_OK;
}

const dn_layer_type dn_type_iseg = {
    .name = "iseg",
    .summary = "instance segmentation: classes and an embedding for every pixel",
    .keys = keys,
    .settings_size = sizeof(iseg_settings),
    .configure = configure,
    .forward = forward,
    .backward = backward,
};
