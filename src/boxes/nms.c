/* nms.c - non-maximum suppression, and the list of detections it works on. Everything happens in place and
 * ties are broken by the original index, so the result is a function of the input alone. */
#include "box.h"

#include <limits.h>
#include <math.h>
#include <string.h>

enum { most_boxes = INT_MAX / 4 }; /* indices are doubled while sorting */

/* One score per original index: values[index * stride]. */
typedef struct dn_scores {
    const float *values;
    size_t stride;
} dn_scores;

typedef struct dn_suppressor {
    const float *boxes;
    float thresh, beta;
    dn_suppression measure;
} dn_suppressor;

/* Larger scores first, then smaller indices; NaN counts as the smallest score. */
static bool comes_before(dn_scores scores, int a, int b) {
    float score_a = scores.values[(size_t)a * scores.stride],
          score_b = scores.values[(size_t)b * scores.stride];
    if (isnan(score_a)) score_a = -INFINITY;
    if (isnan(score_b)) score_b = -INFINITY;
    return score_a > score_b || (score_a == score_b && a < b);
}

static void sift_down(int *order, int root, int count, dn_scores scores) {
    int moving = order[root];
    for (int child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && comes_before(scores, order[child], order[child + 1])) ++child;
        if (!comes_before(scores, moving, order[child])) break;
        order[root] = order[child];
    }
    order[root] = moving;
}

/* Heap sort: needs no memory, unlike the C library's qsort, which has no context argument either. */
static void sort_by_score(int *order, int count, dn_scores scores) {
    for (int root = count / 2 - 1; root >= 0; --root) sift_down(order, root, count, scores);
    for (int last = count - 1; last > 0; --last) {
        int first = order[0];
        order[0] = order[last];
        order[last] = first;
        sift_down(order, 0, last, scores);
    }
}

static dn_box box_at(const float *boxes, int index) {
    const float *box = boxes + 4 * (size_t)index;
    return (dn_box){box[0], box[1], box[2], box[3]};
}

static bool suppresses(const dn_suppressor *rule, int winner, int loser) {
    dn_box a = box_at(rule->boxes, winner), b = box_at(rule->boxes, loser);
    switch (rule->measure) {
    case DN_SUPPRESS_DIOU:
        return dn_box_diou(a, b) > rule->thresh;
    case DN_SUPPRESS_DIOU_BETA:
        return dn_box_diou_beta(a, b, rule->beta) > rule->thresh;
    case DN_SUPPRESS_IOU:
        break;
    }
    return dn_box_iou_of(a, b) > rule->thresh;
}

/* Entries with objectness 0 go to the end, each swapped with the last one, as in the reference. Returns the
 * number of the others. */
static int drop_empty(int *order, int count, const float *objectness) {
    int live = count;
    for (int i = 0; i < live;) {
        if (objectness[order[i]] != 0) {
            ++i;
            continue;
        }
        int empty = order[i];
        order[i] = order[--live];
        order[live] = empty;
    }
    return live;
}

static int keep_nonzero(int *order, int count, dn_scores scores) {
    int kept = 0;
    for (int i = 0; i < count; ++i) {
        if (scores.values[(size_t)order[i] * scores.stride] == 0) continue;
        int index = order[i];
        order[i] = order[kept];
        order[kept++] = index;
    }
    return kept;
}

static void suppress_class(const dn_suppressor *rule, float *probabilities, int classes, int *order,
                           int count) {
    for (int i = 0; i < count; ++i) {
        if (probabilities[(size_t)order[i] * (size_t)classes] == 0) continue;
        for (int j = i + 1; j < count; ++j) {
            float *loser = probabilities + (size_t)order[j] * (size_t)classes;
            if (*loser != 0 && suppresses(rule, order[i], order[j])) *loser = 0;
        }
    }
}

static void suppress_objects(const dn_suppressor *rule, float *objectness, float *probabilities, int classes,
                             const int *order, int count) {
    for (int i = 0; i < count; ++i) {
        if (objectness[order[i]] == 0) continue;
        for (int j = i + 1; j < count; ++j) {
            if (objectness[order[j]] == 0 || !suppresses(rule, order[i], order[j])) continue;
            objectness[order[j]] = 0;
            for (int k = 0; k < classes; ++k)
                probabilities[(size_t)order[j] * (size_t)classes + (size_t)k] = 0;
        }
    }
}

static void swap_floats(float *a, float *b, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        float value = a[i];
        a[i] = b[i];
        b[i] = value;
    }
}

/* Moves entry order[i] to place i, along the cycles of the permutation; ~ marks the places already filled. */
static void reorder(float *boxes, float *objectness, float *probabilities, int classes, int *order,
                    int count) {
    for (int start = 0; start < count; ++start) {
        int place = start;
        while (order[place] >= 0) {
            int from = order[place];
            order[place] = ~from;
            if (from == start) break;
            swap_floats(boxes + 4 * (size_t)place, boxes + 4 * (size_t)from, 4);
            swap_floats(objectness + place, objectness + from, 1);
            swap_floats(probabilities + (size_t)place * (size_t)classes,
                        probabilities + (size_t)from * (size_t)classes, (size_t)classes);
            place = from;
        }
    }
    for (int i = 0; i < count; ++i) order[i] = ~order[i];
}

/* Allocates nothing. */
static void suppress(float *boxes, float *objectness, float *probabilities, int count, int classes,
                     float thresh, int kind, dn_suppression measure, float beta, int *order) {
    dn_suppressor rule = {boxes, thresh, beta, measure};
    for (int i = 0; i < count; ++i) order[i] = i;
    if (kind == DN_NMS_NONE) return;
    int live = drop_empty(order, count, objectness);
    if (kind == DN_NMS_OBJ) {
        sort_by_score(order, live, (dn_scores){objectness, 1});
        suppress_objects(&rule, objectness, probabilities, classes, order, live);
    } else {
        for (int k = 0; k < classes; ++k) {
            dn_scores scores = {probabilities + k, (size_t)classes};
            /* The order that remains is that of the last class, zeros included. */
            int candidates = k == classes - 1 ? live : keep_nonzero(order, live, scores);
            sort_by_score(order, candidates, scores);
            suppress_class(&rule, probabilities + k, classes, order, candidates);
        }
    }
    reorder(boxes, objectness, probabilities, classes, order, count);
}

dn_status dn_boxes_nms(float *boxes, float *objectness, float *probabilities, int count, int classes,
                       float thresh, int kind, int *order) {
    size_t cells;
    if (count < 0 || count > most_boxes || classes < 0 ||
        !dn_mul(&cells, (size_t)count, (size_t)dn_max_int(classes, 4)) || cells > SIZE_MAX / sizeof(float))
        return dn_fail(DN_ERROR_ARGUMENT, "dn_boxes_nms: %d boxes of %d classes are impossible", count,
                       classes);
    if (kind != DN_NMS_NONE && kind != DN_NMS_SORT && kind != DN_NMS_OBJ)
        return dn_fail(DN_ERROR_ARGUMENT, "dn_boxes_nms: unknown kind %d, expected one of dn_nms_kind", kind);
    if (isnan(thresh)) return dn_fail(DN_ERROR_ARGUMENT, "dn_boxes_nms: the threshold is not a number");
    if (count == 0) return DN_OK;
    if (!boxes || !objectness || !order || (!probabilities && classes > 0))
        return dn_fail(DN_ERROR_ARGUMENT, "dn_boxes_nms: boxes, objectness, probabilities or order is NULL");
    suppress(boxes, objectness, probabilities, count, classes, thresh, kind, DN_SUPPRESS_IOU, 0, order);
    return DN_OK;
}

/* ---- the list ---- */

dn_status dn_detections_create(dn_detections **out, int classes) {
    if (!out || classes < 0)
        return dn_fail(DN_ERROR_ARGUMENT, "detections of %d classes are impossible", classes);
    *out = NULL;
    dn_detections *list;
    DN_TRY(dn_new(&list, 1, sizeof *list, "detections"));
    list->classes = classes;
    *out = list;
    return DN_OK;
}

void dn_detections_free(dn_detections *detections) {
    if (!detections) return;
    dn_free(detections->boxes);
    dn_free(detections->objectness);
    dn_free(detections->probabilities);
    dn_free(detections->order);
    dn_free(detections);
}

static dn_status grow_floats(float **array, size_t used, size_t wanted) {
    float *larger;
    DN_TRY(dn_new_floats(&larger, wanted, "detections"));
    if (used > 0) memcpy(larger, *array, used * sizeof(float));
    dn_free(*array);
    *array = larger;
    return DN_OK;
}

/* A failure leaves some arrays larger than capacity says, which does no harm. */
static dn_status grow(dn_detection_list *list) {
    if (list->capacity > most_boxes / 2) return dn_fail(DN_ERROR_NO_MEMORY, "too many detections");
    int capacity = dn_max_int(64, 2 * list->capacity);
    size_t used = (size_t)list->count, wanted = (size_t)capacity, classes = (size_t)list->classes, cells;
    if (!dn_mul(&cells, wanted, classes)) return dn_fail(DN_ERROR_NO_MEMORY, "too many detections");
    int *order;
    DN_TRY(dn_new(&order, wanted, sizeof *order, "detections"));
    if (used > 0) memcpy(order, list->order, used * sizeof *order);
    dn_free(list->order);
    list->order = order;
    DN_TRY(grow_floats(&list->boxes, 4 * used, 4 * wanted));
    DN_TRY(grow_floats(&list->objectness, used, wanted));
    DN_TRY(grow_floats(&list->probabilities, used * classes, dn_max_size(cells, 1)));
    list->capacity = capacity;
    return DN_OK;
}

dn_status dn_detection_list_add(dn_detection_list *list, dn_box box, float objectness,
                                float **probabilities_row) {
    if (list->count == list->capacity) DN_TRY(grow(list));
    size_t index = (size_t)list->count++, classes = (size_t)list->classes;
    float *place = list->boxes + 4 * index, *row = list->probabilities + index * classes;
    place[0] = box.x;
    place[1] = box.y;
    place[2] = box.w;
    place[3] = box.h;
    list->objectness[index] = objectness;
    list->order[index] = (int)index;
    memset(row, 0, classes * sizeof *row);
    if (probabilities_row) *probabilities_row = row;
    return DN_OK;
}

void dn_detection_list_nms(dn_detection_list *list, float thresh, int kind, dn_suppression measure,
                           float beta) {
    if (list->count == 0) return;
    suppress(list->boxes, list->objectness, list->probabilities, list->count, list->classes, thresh, kind,
             measure, beta, list->order);
}

int dn_detections_count(const dn_detections *detections) {
    return detections ? detections->count : 0;
}

int dn_detections_classes(const dn_detections *detections) {
    return detections ? detections->classes : 0;
}

const float *dn_detections_boxes(const dn_detections *detections) {
    return detections ? detections->boxes : NULL;
}

const float *dn_detections_objectness(const dn_detections *detections) {
    return detections ? detections->objectness : NULL;
}

const float *dn_detections_probabilities(const dn_detections *detections) {
    return detections ? detections->probabilities : NULL;
}
