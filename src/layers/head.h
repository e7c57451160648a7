/* head.h - what the detection heads share: anchors, and the rows of truth they read: x, y, w, h (centre and
 * size relative to the network's input), then the head's own values. A row with x == 0 ends the list. */
#ifndef DN_HEAD_H
#define DN_HEAD_H

#include "layer.h"

/* The keys num and anchors: *count pairs of width and height, .5 where the list is shorter. */
dn_status dn_head_anchors(float **out, int *count, dn_section *section);

/* x and y beyond this: the image shows a class, but the label doesn't say where (YOLO9000). */
#define DN_CLASS_ONLY 100000.0f

/* Mirrors an output [anchors][entries][h][w] whose entry 0 is x within the cell, 0..1: cells change places
 * from left to right, and x becomes 1 - x. */
void dn_head_mirror(float *out, const float *output, int anchors, int entries, int w, int h);

typedef struct dn_truth_rows {
    const float *rows;
    int count;  /* before the end mark */
    int values; /* floats per row */
} dn_truth_rows;

/* Image b's rows, at most `most` of them. */
static inline dn_truth_rows dn_truth_of(const dn_run *run, int b, int values, int most) {
    dn_truth_rows truth = {run->truth + (size_t)b * run->truths, 0, values};
    int room = (int)(run->truths / (size_t)values);
    while (truth.count < room && truth.count < most && truth.rows[(size_t)truth.count * (size_t)values] != 0)
        ++truth.count;
    return truth;
}

static inline const float *dn_truth_row(const dn_truth_rows *truth, int t) {
    return truth->rows + (size_t)t * (size_t)truth->values;
}

static inline dn_box dn_truth_box(const dn_truth_rows *truth, int t) {
    const float *row = dn_truth_row(truth, t);
    return (dn_box){row[0], row[1], row[2], row[3]};
}

static inline bool dn_truth_class_only(const dn_truth_rows *truth, int t) {
    const float *row = dn_truth_row(truth, t);
    return row[0] > DN_CLASS_ONLY && row[1] > DN_CLASS_ONLY;
}

/* A box without an area has no logarithm to learn, one without a place no cell: labels like that are an error
 * of the data, not a diverging loss. */
static inline dn_status dn_truth_check(const dn_layer *layer, const dn_truth_rows *truth, int b) {
    for (int t = 0; t < truth->count; ++t) {
        dn_box box = dn_truth_box(truth, t);
        if (dn_truth_class_only(truth, t))
            return dn_fail(DN_ERROR_DATA,
                           "layer %d [%s]: truth %d of image %d has a class but no box; only a [region] with "
                           "a tree learns from such labels",
                           layer->index, layer->type->name, t, b);
        if (!(box.w > 0 && box.h > 0))
            return dn_fail(DN_ERROR_DATA,
                           "layer %d [%s]: truth %d of image %d is a box of %g x %g; width and height "
                           "must be above 0",
                           layer->index, layer->type->name, t, b, (double)box.w, (double)box.h);
    }
    return DN_OK;
}

/* Cell of a truth's centre; labels may say exactly 1, which belongs to the last cell. */
static inline int dn_truth_cell(float position, int cells) {
    float cell = position * (float)cells;
    return !(cell >= 0) ? 0 : cell >= (float)cells ? cells - 1 : (int)cell;
}

/* A class number; -1 for what can be none (negative, huge, not a number). */
static inline int dn_truth_class(float label) {
    return label >= 0 && label < (float)(1 << 24) ? (int)label : -1;
}

/* The class a head learns for a label, through its map if it has one; -1: none of its classes. */
static inline int dn_head_class(const int *map, int map_count, int classes, int label) {
    if (map) label = label >= 0 && label < map_count ? map[label] : -1;
    return label >= 0 && label < classes ? label : -1;
}

#endif
