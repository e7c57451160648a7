/* region.c - [region]: the detection head of YOLOv2 and YOLO9000 (Redmon and Farhadi 2017): settings,
 * activations, boxes. compat.md 7.2, 9.4. Training is in region_loss.c. */
#include "region.h"
#include "head.h"

#include <limits.h>
#include <math.h>
#include <string.h>

static const dn_key keys[] = {
    {"classes", "20", "number of classes"},
    {"num", "1", "number of anchors"},
    {"coords", "4", "box values; further ones are mask values"},
    {"anchors", NULL, "widths and heights in cells of the output; default .5"},
    {"softmax", "0", "classes exclude each other"},
    {"background", "0", "a background class in the place of objectness"},
    {"max", NULL, "most truths per image, with dialect alexeyab (default 200); 30 otherwise"},
    {"jitter", "0.2", "training: crop and placement jitter"},
    {"random", "0", "training: resize the network every ten batches"},
    {"rescore", "0", "objectness learns the IoU"},
    {"thresh", "0.5", "predictions with a better IoU are not pushed to no object"},
    {"bias_match", "0", "truths find their anchor by the anchors' shapes, not the predictions'"},
    {"coord_scale", "1", "factor of the box gradient"},
    {"object_scale", "1", "factor of the objectness gradient of boxes with an object"},
    {"noobject_scale", "1", "factor of the objectness gradient of the others"},
    {"mask_scale", "1", "factor of the mask gradient"},
    {"class_scale", "1", "factor of the class gradient"},
    {"tree", NULL, "word tree file: hierarchical classes"},
    {"map", NULL, "file of class numbers to learn instead of the labels'"},
    {"class_only", "reference", "with a tree: what images without boxes teach, `reference` or `paper`"},
    {"classfix", "0", "-1, with dialect alexeyab: no boxes with an objectness below .5"},
    {"absolute", "0", "read, without effect"},
    {"log", "0", "read, without effect"},
    {"sqrt", "0", "read, without effect"},
    {NULL, NULL, NULL},
};

static dn_status read_scales(region_settings *s, dn_section *section) {
    DN_TRY(dn_option_float(&s->thresh, section, "thresh", -1e6f, 1e6f));
    DN_TRY(dn_option_float(&s->coord_scale, section, "coord_scale", -1e6f, 1e6f));
    DN_TRY(dn_option_float(&s->object_scale, section, "object_scale", -1e6f, 1e6f));
    DN_TRY(dn_option_float(&s->no_object_scale, section, "noobject_scale", -1e6f, 1e6f));
    DN_TRY(dn_option_float(&s->class_scale, section, "class_scale", -1e6f, 1e6f));
    DN_TRY(dn_option_int(&s->mask_scale, section, "mask_scale", -1000000, 1000000));
    static const char *const others[] = {"jitter", "random", "absolute", "log", "sqrt"};
    for (size_t i = 0; i < DN_COUNT(others); ++i) (void)dn_option_text(section, others[i]);
    return DN_OK;
}

/* Two keys that the reference reads, but only the fork makes use of. */
static dn_status read_fork_keys(region_settings *s, dn_section *section, bool fork) {
    enum { MOST_TRUTHS = 30, MOST_TRUTHS_OF_FORK = 200 };
    int classfix;
    DN_TRY(dn_option_int_or(&s->max_truths, section, "max", MOST_TRUTHS_OF_FORK, 1, 1 << 20));
    DN_TRY(dn_option_int(&classfix, section, "classfix", INT_MIN, INT_MAX));
    if (!fork) s->max_truths = MOST_TRUTHS;
    s->drop_weak = fork && classfix == -1;
    return DN_OK;
}

static dn_status read_class_only(region_settings *s, dn_section *section) {
    const char *rule = dn_option_text(section, "class_only");
    s->class_only_paper = strcmp(rule, "paper") == 0;
    if (!s->class_only_paper && strcmp(rule, "reference") != 0)
        return dn_option_error(section, "class_only", "expected reference or paper, found '%s'", rule);
    return DN_OK;
}

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    region_settings *s = layer->settings;
    DN_TRY(dn_layer_needs_image(layer, section));
    DN_TRY(dn_option_int(&s->classes, section, "classes", 0, 1 << 20));
    DN_TRY(dn_option_int(&s->coords, section, "coords", 4, 4096));
    DN_TRY(dn_head_anchors(&s->anchors, &s->anchors_count, section));
    long long channels = (long long)s->anchors_count * (s->coords + 1 + s->classes);
    if (layer->in_c != channels)
        return dn_option_error(section, NULL,
                               "%d anchors with %d classes need %lld channels, but the layer before has "
                               "%d; set its filters=%lld (that is (classes + %d) * num)",
                               s->anchors_count, s->classes, channels, layer->in_c, channels, s->coords + 1);
    DN_TRY(dn_option_flag(&s->softmax, section, "softmax"));
    DN_TRY(dn_option_flag(&s->background, section, "background"));
    DN_TRY(dn_option_flag(&s->rescore, section, "rescore"));
    DN_TRY(dn_option_flag(&s->bias_match, section, "bias_match"));
    DN_TRY(read_scales(s, section));
    DN_TRY(read_class_only(s, section));
    DN_TRY(read_fork_keys(s, section, graph->dialect == DN_DIALECT_ALEXEYAB));
    DN_TRY(dn_layer_tree(&s->tree, section, "tree"));
    DN_TRY(dn_layer_map(&s->map, &s->map_count, section, "map", s->classes));
    if (s->tree && s->tree->size != s->classes)
        return dn_option_error(section, "tree", "has %d nodes, but there are %d classes", s->tree->size,
                               s->classes);
    s->w = layer->in_w;
    s->h = layer->in_h;
    layer->has_cost = true;
    layer->truths = (size_t)s->max_truths * (size_t)(s->coords + 1);
    return dn_layer_set_output(layer, section, layer->in_w, layer->in_h, layer->in_c);
}

static void release(dn_layer *layer) {
    region_settings *s = layer->settings;
    dn_free(s->anchors);
    dn_free(s->map);
    dn_tree_free(s->tree);
}

/* Class probabilities of one anchor: `entry` points at its class planes (the objectness plane with
 * background). */
static void activate_classes(const region_settings *s, dn_run *run, const float *raw, float *entry) {
    size_t cells = (size_t)s->w * (size_t)s->h;
    if (s->tree) {
        for (int g = 0; g < s->tree->groups; ++g) {
            size_t offset = (size_t)s->tree->group_offsets[g] * cells;
            run->ops->softmax(run->device, raw + offset, entry + offset, s->tree->group_sizes[g], cells, 1, 0,
                              cells, 1, 1);
        }
    } else if (s->softmax) {
        run->ops->softmax(run->device, raw, entry, s->classes + s->background, cells, 1, 0, cells, 1, 1);
    } else {
        size_t planes = (size_t)(s->classes + s->background);
        float *first = s->background ? entry + cells : entry; /* background itself stays as it is */
        run->ops->activate(run->device, DN_ACTIVATION_LOGISTIC, first, 1, 1,
                           (planes - (size_t)s->background) * cells);
    }
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const region_settings *s = layer->settings;
    size_t cells = (size_t)s->w * (size_t)s->h;
    const float *input = dn_run_input(run, layer);
    float *output = run->output[layer->index];
    run->ops->copy(run->device, output, input, (size_t)run->batch * layer->outputs);
    for (int b = 0; b < run->batch; ++b)
        for (int a = 0; a < s->anchors_count; ++a) {
            size_t index = (size_t)b * layer->outputs + dn_region_index(s, a, 0);
            size_t object = index + (size_t)s->coords * cells, classes = object + (s->background ? 0 : cells);
            run->ops->activate(run->device, DN_ACTIVATION_LOGISTIC, output + index, 1, 1, 2 * cells);
            if (s->coords > 4)
                run->ops->activate(run->device, DN_ACTIVATION_LOGISTIC, output + index + 4 * cells, 1, 1,
                                   (size_t)(s->coords - 4) * cells);
            if (!s->background)
                run->ops->activate(run->device, DN_ACTIVATION_LOGISTIC, output + object, 1, 1, cells);
            if (s->classes) activate_classes(s, run, input + classes, output + classes);
        }
    return run->train && run->truth && !layer->only_forward ? dn_region_loss(layer, run) : DN_OK;
}

/* x, y, masks and objectness pass through the logistic's gradient; sizes and classes as they are. The
 * numerics of the reference's CPU build, as its golden vectors have them, pass all as they are. */
static dn_status backward(const dn_layer *layer, dn_run *run) {
    const region_settings *s = layer->settings;
    size_t cells = (size_t)s->w * (size_t)s->h;
    float *delta = run->delta[layer->index];
    const float *output = run->output[layer->index];
    for (int b = 0; b < run->batch && !run->pjreddie_cpu; ++b)
        for (int a = 0; a < s->anchors_count; ++a) {
            size_t index = (size_t)b * layer->outputs + dn_region_index(s, a, 0);
            size_t masks = index + 4 * cells, mask_planes = (size_t)(s->coords - 4);
            size_t planes = mask_planes + (s->background ? 0 : 1); /* objectness follows the masks */
            run->ops->activate_gradient(run->device, DN_ACTIVATION_LOGISTIC, output + index, NULL,
                                        delta + index, 1, 1, 2 * cells);
            run->ops->activate_gradient(run->device, DN_ACTIVATION_LOGISTIC, output + masks, NULL,
                                        delta + masks, 1, 1, planes * cells);
        }
    dn_run_pass_delta(run, layer, 1);
    return DN_OK;
}

dn_box dn_region_box(const region_settings *s, const float *output, int anchor, int cell) {
    size_t cells = (size_t)s->w * (size_t)s->h;
    const float *entry = output + dn_region_index(s, anchor, cell);
    return (dn_box){((float)(cell % s->w) + entry[0]) / (float)s->w,
                    ((float)(cell / s->w) + entry[cells]) / (float)s->h,
                    expf(entry[2 * cells]) * s->anchors[2 * anchor] / (float)s->w,
                    expf(entry[3 * cells]) * s->anchors[2 * anchor + 1] / (float)s->h};
}

/* Probabilities of one box with a word tree (compat.md 9.4); absolute: scratch for the tree's probabilities.
 */
static void tree_classes(const region_settings *s, const dn_head_options *options, const float *conditional,
                         float scale, float *absolute, float *probabilities, int classes) {
    size_t cells = (size_t)s->w * (size_t)s->h;
    for (int c = 0; c < s->classes; ++c) absolute[c] = conditional[(size_t)c * cells];
    dn_tree_absolute(s->tree, absolute, 1, 0);
    if (options->map) {
        for (int c = 0; c < dn_min_int(options->map_count, classes); ++c) {
            int node = options->map[c];
            float p = node >= 0 && node < s->classes ? scale * absolute[node] : 0;
            probabilities[c] = p > options->thresh ? p : 0;
        }
        return;
    }
    int top = options->hier_paper ? dn_tree_top_paper(s->tree, absolute, 1, options->hier)
                                  : dn_tree_top(s->tree, absolute, 1, options->hier);
    if (top >= 0 && top < classes) probabilities[top] = scale > options->thresh ? scale : 0;
}

static dn_status detect(const dn_layer *layer, const float *output, const dn_head_options *options,
                        dn_detection_list *out) {
    const region_settings *s = layer->settings;
    int cells = s->w * s->h;
    float *absolute = NULL, *row;
    dn_status status = DN_OK;
    if (s->tree) DN_TRY(dn_new_floats(&absolute, (size_t)s->classes, "tree probabilities"));
    for (int a = 0; a < s->anchors_count; ++a)
        for (int cell = 0; cell < cells; ++cell) {
            const float *entry = output + dn_region_index(s, a, cell);
            float scale = s->background ? 1 : entry[(size_t)s->coords * (size_t)cells];
            if (s->drop_weak && scale < .5f) scale = 0;
            float objectness = scale > options->thresh ? scale : 0;
            DN_TRY_GOTO(dn_detection_list_add(out, dn_region_box(s, output, a, cell), objectness, &row));
            const float *classes = entry + (size_t)(s->coords + 1) * (size_t)cells;
            if (s->tree) {
                if (scale > options->thresh || options->map)
                    tree_classes(s, options, classes - (s->background ? cells : 0), scale, absolute, row,
                                 out->classes);
            } else if (objectness != 0) {
                for (int c = 0; c < dn_min_int(s->classes, out->classes); ++c) {
                    float p = scale * classes[(size_t)c * (size_t)cells];
                    row[c] = p > options->thresh ? p : 0;
                }
            }
        }
fail:
    dn_free(absolute);
    return status;
}

static void head_info(const dn_layer *layer, dn_head_info *out) {
    const region_settings *s = layer->settings;
    out->classes = s->classes;
    out->max_truths = s->max_truths;
    out->truth_values = s->coords + 1;
    out->map = s->map;
    out->map_count = s->map_count;
}

static const dn_tree *tree(const dn_layer *layer) {
    const region_settings *s = layer->settings;
    return s->tree;
}

static dn_status mirror(const dn_layer *layer, float *out, const float *output) {
    const region_settings *s = layer->settings;
    dn_head_mirror(out, output, s->anchors_count, s->coords + 1 + s->classes, s->w, s->h);
    return DN_OK;
}

const dn_layer_type dn_type_region = {
    .name = "region",
    .summary = "detection head of YOLOv2 and YOLO9000",
    .keys = keys,
    .settings_size = sizeof(region_settings),
    .configure = configure,
    .release = release,
    .forward = forward,
    .backward = backward,
    .detect = detect,
    .head_info = head_info,
    .tree = tree,
    .mirror = mirror,
};
