/* yolo.c - [yolo]: the detection head of YOLOv3 and later (Redmon and Farhadi 2018): settings, activations,
 * boxes. compat.md 7.3, 20.3. Training is in yolo_loss.c. */
#include "yolo.h"
#include "files.h"
#include "head.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const dn_key keys[] = {
#define KEY(name, fallback, meaning) {name, fallback, meaning},
#include "yolo_keys.h"
#undef KEY
    {"new_coords", "0", "fork: no activation here; sizes are (2 t)^2"},
    {"counters_per_class", NULL, "fork: images per class, to balance them"},
    {"focal_loss", "0", "fork: focal class loss"},
    {"show_details", "1", "fork: no effect"},
    {"track_history_size", "5", "fork: no effect"},
    {"sim_thresh", "0.8", "fork: no effect"},
    {"dets_for_track", "1", "fork: no effect"},
    {"dets_for_show", "1", "fork: no effect"},
    {"track_ciou_norm", "0.01", "fork: no effect"},
    {"embedding_layer", NULL, "fork: no effect"},
    {"uc_normalizer", "1", "no effect here: a key of [Gaussian_yolo]"},
    {"beta1", "0.6", "no effect, as in the fork, whose files have it"},
    {NULL, NULL, NULL},
};

/* True if the section uses a key that only the fork has; it then trains by the fork's rules. */
static bool uses_fork_keys(const dn_section *section) {
    for (const dn_key *key = section->keys; key->name; ++key)
        if (strncmp(key->meaning, "fork:", 5) == 0 && dn_option_has(section, key->name)) return true;
    return false;
}

static dn_status read_anchors(yolo_settings *s, dn_section *section) {
    int mask_count, *mask;
    DN_TRY(dn_head_anchors(&s->anchors, &s->anchor_count, section));
    DN_TRY(dn_option_ints(&mask, &mask_count, section, "mask"));
    s->mask_count = mask ? mask_count : s->anchor_count;
    dn_status status = dn_new(&s->mask, (size_t)s->mask_count, sizeof *s->mask, "mask");
    for (int i = 0; status == DN_OK && i < s->mask_count; ++i) {
        s->mask[i] = mask ? mask[i] : i;
        if (s->mask[i] < 0 || s->mask[i] >= s->anchor_count)
            status = dn_option_error(section, "mask", "%d is not one of the anchors 0 to %d", s->mask[i],
                                     s->anchor_count - 1);
    }
    dn_free(mask);
    return status;
}

static dn_status read_multipliers(yolo_settings *s, dn_section *section) {
    float *counters, most = 1;
    int count;
    DN_TRY(dn_option_floats(&counters, &count, section, "counters_per_class"));
    if (!counters) return DN_OK;
    if (count != s->classes) {
        dn_free(counters);
        return dn_option_error(section, "counters_per_class", "has %d values for %d classes", count,
                               s->classes);
    }
    for (int i = 0; i < count; ++i) {
        if (counters[i] < 1) counters[i] = 1;
        most = fmaxf(most, counters[i]);
    }
    for (int i = 0; i < count; ++i) counters[i] = fminf(most / counters[i], s->max_delta);
    s->class_multipliers = counters;
    return DN_OK;
}

static dn_status read_iou_kind(dn_iou_kind *out, dn_section *section, const char *key, const char *name) {
    if (dn_iou_kind_parse(out, name)) return DN_OK;
    dn_log(DN_LOG_WARNING, "%s:%d: [%s] %s: '%s' is unknown; iou is used, as the fork does", section->file,
           section->line, section->name, key, name);
    *out = DN_IOU;
    return DN_OK;
}

static dn_status read_fork_keys(yolo_settings *s, dn_section *section) {
    DN_TRY(dn_option_flag(&s->objectness_smooth, section, "objectness_smooth"));
    DN_TRY(dn_option_float(&s->scale_x_y, section, "scale_x_y", 0, 1e6f));
    DN_TRY(dn_option_float(&s->iou_normalizer, section, "iou_normalizer", -1e6f, 1e6f));
    DN_TRY(dn_option_float(&s->obj_normalizer, section, "obj_normalizer", -1e6f, 1e6f));
    DN_TRY(dn_option_float(&s->cls_normalizer, section, "cls_normalizer", -1e6f, 1e6f));
    DN_TRY(dn_option_float(&s->delta_normalizer, section, "delta_normalizer", -1e6f, 1e6f));
    DN_TRY(dn_option_float(&s->iou_thresh, section, "iou_thresh", 0, 1e6f));
    DN_TRY(dn_option_float(&s->label_smooth, section, "label_smooth_eps", 0, 1));
    DN_TRY(dn_option_float_or(&s->max_delta, section, "max_delta", FLT_MAX, 0, FLT_MAX));
    DN_TRY(dn_option_float(&s->beta_nms, section, "beta_nms", 0, 1e6f));
    s->nms_kind = dn_option_text(section, "nms_kind");
    const char *loss = dn_option_text(section, "iou_loss");
    s->mse = strcmp(loss, "mse") == 0;
    if (!s->mse) DN_TRY(read_iou_kind(&s->iou_loss, section, "iou_loss", loss));
    DN_TRY(read_iou_kind(&s->iou_thresh_kind, section, "iou_thresh_kind",
                         dn_option_text(section, "iou_thresh_kind")));
    (void)dn_option_text(section, "resize"); /* the loader's */
    return DN_OK;
}

/* What [Gaussian_yolo] does not have. */
static dn_status read_own_keys(yolo_settings *s, dn_section *section) {
    DN_TRY(dn_option_flag(&s->new_coords, section, "new_coords"));
    DN_TRY(dn_option_flag(&s->focal_loss, section, "focal_loss"));
    static const char *const without_effect[] = {"show_details",    "track_history_size", "sim_thresh",
                                                 "dets_for_track",  "dets_for_show",      "track_ciou_norm",
                                                 "embedding_layer", "uc_normalizer",      "beta1"};
    for (size_t i = 0; i < DN_COUNT(without_effect); ++i) (void)dn_option_text(section, without_effect[i]);
    return read_multipliers(s, section);
}

dn_status dn_yolo_configure(dn_layer *layer, dn_section *section, const dn_graph *graph, bool gaussian) {
    yolo_settings *s = layer->settings;
    s->gaussian = gaussian;
    s->step = gaussian ? 2 : 1;
    s->box_entries = 4 * s->step;
    DN_TRY(dn_layer_needs_image(layer, section));
    DN_TRY(dn_option_int(&s->classes, section, "classes", 0, 1 << 20));
    DN_TRY(read_anchors(s, section));
    int others = s->box_entries + 1;
    long long channels = (long long)s->mask_count * (s->classes + others);
    if (layer->in_c != channels)
        return dn_option_error(section, NULL,
                               "%d anchors with %d classes need %lld channels, but the layer before has "
                               "%d; set its filters=%lld (that is (classes + %d) * anchors)",
                               s->mask_count, s->classes, channels, layer->in_c, channels, others);
    s->fork = gaussian || uses_fork_keys(section);
    DN_TRY(dn_option_int_or(&s->max_truths, section, "max", s->fork ? 200 : 90, 1, 1 << 20));
    DN_TRY(dn_option_float(&s->ignore_thresh, section, "ignore_thresh", -1e6f, 1e6f));
    DN_TRY(dn_option_float(&s->truth_thresh, section, "truth_thresh", -1e6f, 1e6f));
    DN_TRY(dn_layer_map(&s->map, &s->map_count, section, "map", s->classes));
    DN_TRY(read_fork_keys(s, section));
    (void)dn_option_text(section, "jitter"); /* the loader's */
    (void)dn_option_text(section, "random");
    s->w = layer->in_w;
    s->h = layer->in_h;
    s->net_w = graph->net->w;
    s->net_h = graph->net->h;
    layer->has_cost = true;
    layer->truths = s->fork ? 6 * (size_t)s->max_truths : 5 * (size_t)dn_max_int(90, s->max_truths);
    return dn_layer_set_output(layer, section, layer->in_w, layer->in_h, layer->in_c);
}

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    DN_TRY(dn_yolo_configure(layer, section, graph, false));
    return read_own_keys(layer->settings, section);
}

void dn_yolo_release(dn_layer *layer) {
    yolo_settings *s = layer->settings;
    dn_free(s->anchors);
    dn_free(s->mask);
    dn_free(s->map);
    dn_free(s->class_multipliers);
}

/* Planes of one anchor: all but the sizes pass through the logistic, and centres are stretched. */
static void activate_anchor(const yolo_settings *s, const dn_run *run, float *entry) {
    const dn_ops *ops = run->ops;
    size_t cells = (size_t)s->w * (size_t)s->h;
    for (size_t e = 0; e < 4; ++e) {
        float *value = entry + dn_yolo_value(s, e);
        if (e < 2 && !s->new_coords) ops->activate(run->device, DN_ACTIVATION_LOGISTIC, value, 1, 1, cells);
        if (s->gaussian) ops->activate(run->device, DN_ACTIVATION_LOGISTIC, value + cells, 1, 1, cells);
        for (size_t i = 0; e < 2 && s->scale_x_y != 1 && i < cells; ++i)
            value[i] = s->scale_x_y * value[i] - 0.5f * (s->scale_x_y - 1);
    }
    if (!s->new_coords)
        ops->activate(run->device, DN_ACTIVATION_LOGISTIC, entry + dn_yolo_object(s), 1, 1,
                      (size_t)(1 + s->classes) * cells);
}

dn_status dn_yolo_forward(const dn_layer *layer, dn_run *run) {
    const yolo_settings *s = layer->settings;
    float *output = run->output[layer->index];
    run->ops->copy(run->device, output, dn_run_input(run, layer), (size_t)run->batch * layer->outputs);
    for (int b = 0; b < run->batch; ++b)
        for (int a = 0; a < s->mask_count; ++a)
            activate_anchor(s, run, output + (size_t)b * layer->outputs + dn_yolo_index(s, a, 0));
    return run->train && run->truth && !layer->only_forward ? dn_yolo_loss(layer, run) : DN_OK;
}

dn_status dn_yolo_backward(const dn_layer *layer, dn_run *run) {
    const yolo_settings *s = layer->settings;
    dn_run_pass_delta(run, layer, s->delta_normalizer);
    return DN_OK;
}

dn_box dn_yolo_box(const yolo_settings *s, const float *output, size_t index, int list_index, int cell) {
    const float *entry = output + index;
    float w = entry[dn_yolo_value(s, 2)], h = entry[dn_yolo_value(s, 3)];
    dn_box box;
    box.x = ((float)(cell % s->w) + entry[0]) / (float)s->w;
    box.y = ((float)(cell / s->w) + entry[dn_yolo_value(s, 1)]) / (float)s->h;
    box.w = (s->new_coords ? 4 * w * w : expf(w)) * s->anchors[2 * list_index] / (float)s->net_w;
    box.h = (s->new_coords ? 4 * h * h : expf(h)) * s->anchors[2 * list_index + 1] / (float)s->net_h;
    box.x -= s->point * box.w;
    box.y -= s->point * box.h;
    return box;
}

/* 1 less the mean uncertainty of the box; 1 for a head that predicts none. */
static float certainty(const yolo_settings *s, const float *entry) {
    size_t cells = (size_t)s->w * (size_t)s->h;
    float sum = 0;
    if (!s->gaussian) return 1;
    for (size_t e = 0; e < 4; ++e) sum += entry[dn_yolo_value(s, e) + cells];
    return 1 - sum / 4;
}

dn_status dn_yolo_detect(const dn_layer *layer, const float *output, const dn_head_options *options,
                         dn_detection_list *out) {
    const yolo_settings *s = layer->settings;
    int cells = s->w * s->h;
    for (int cell = 0; cell < cells; ++cell)
        for (int a = 0; a < s->mask_count; ++a) {
            size_t index = dn_yolo_index(s, a, cell);
            const float *entry = output + index;
            float objectness = entry[dn_yolo_object(s)], *probabilities;
            if (!(objectness > options->thresh)) continue;
            DN_TRY(dn_detection_list_add(out, dn_yolo_box(s, output, index, s->mask[a], cell), objectness,
                                         &probabilities));
            float factor = objectness * certainty(s, entry);
            for (int c = 0; c < dn_min_int(s->classes, out->classes); ++c) {
                float p = factor * entry[dn_yolo_class(s, c)];
                probabilities[c] = p > options->thresh ? p : 0;
            }
        }
    return DN_OK;
}

void dn_yolo_head_info(const dn_layer *layer, dn_head_info *out) {
    const yolo_settings *s = layer->settings;
    out->classes = s->classes;
    out->max_truths = s->fork ? s->max_truths : dn_max_int(90, s->max_truths);
    out->truth_values = s->fork ? 6 : 5;
    out->map = s->map;
    out->map_count = s->map_count;
    out->nms_kind = s->nms_kind;
    out->beta_nms = s->beta_nms;
}

dn_status dn_yolo_mirror(const dn_layer *layer, float *out, const float *output) {
    const yolo_settings *s = layer->settings;
    if (s->point != 0) /* a left corner's mirror image is a right one's */
        return dn_fail(DN_ERROR_UNSUPPORTED, "layer %d [%s]: mirrored detection needs yolo_point=center",
                       layer->index, layer->type->name);
    dn_head_mirror(out, output, s->mask_count, s->box_entries + 1 + s->classes, s->w, s->h);
    return DN_OK;
}

const dn_layer_type dn_type_yolo = {
    .name = "yolo",
    .summary = "detection head of YOLOv3 and later",
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
