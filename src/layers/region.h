/* region.h - what region.c (settings, forward, boxes) and region_loss.c (training) share. Layout of an
 * image's output: [anchor][entry][h][w] with entries x, y, w, h, mask values (coords > 4), objectness,
 * classes. */
#ifndef DN_REGION_H
#define DN_REGION_H

#include "files.h"

typedef struct region_settings {
    int w, h, classes, coords, anchors_count;
    float *anchors; /* [anchors_count][2], in output cells */
    bool softmax, background, rescore, bias_match;
    float thresh, coord_scale, object_scale, no_object_scale, class_scale;
    int mask_scale; /* the reference uses it as an integer */
    bool class_only_paper;
    bool drop_weak; /* boxes with an objectness below .5 have none: classfix=-1 in the fork */
    int max_truths; /* rows of truth per image */
    dn_tree *tree;
    int *map, map_count;
} region_settings;

/* Index of entry 0 of an anchor's cell; entries are cells apart. */
static inline size_t dn_region_index(const region_settings *s, int anchor, int cell) {
    return (size_t)anchor * (size_t)(s->coords + 1 + s->classes) * (size_t)s->w * (size_t)s->h + (size_t)cell;
}

dn_box dn_region_box(const region_settings *s, const float *output, int anchor, int cell);

dn_status dn_region_loss(const dn_layer *layer, dn_run *run);

#endif
