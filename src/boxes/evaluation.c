/* evaluation.c - average precision of one class from scored matches. Who matches whom is the caller's
 * business. */
#include "box.h"

#include <math.h>
#include <stdlib.h>

typedef struct dn_ranked {
    float score;
    int index;
    uint8_t match;
} dn_ranked;

/* Larger scores first, ties in the caller's order. */
static int compare_ranked(const void *left, const void *right) {
    const dn_ranked *a = left, *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

/* Best precision at this recall or a larger one; recall and precision ordered by rank. */
static double sampled(const double *recall, const double *best, int count, int points) {
    double sum = 0;
    int rank = 0;
    for (int i = 0; i < points; ++i) {
        double wanted = (double)i / (points - 1);
        while (rank < count && recall[rank] < wanted) ++rank;
        if (rank < count) sum += best[rank];
    }
    return sum / points;
}

static double area(const double *recall, const double *best, int count) {
    double sum = 0, before = 0;
    for (int rank = 0; rank < count; ++rank) {
        sum += (recall[rank] - before) * best[rank];
        before = recall[rank];
    }
    return sum;
}

dn_status dn_average_precision(double *out, const float *scores, const uint8_t *matches, int count,
                               int truths, int points) {
    if (!out || count < 0 || truths < 0 || (count > 0 && (!scores || !matches)))
        return dn_fail(DN_ERROR_ARGUMENT, "dn_average_precision: %d scores and %d truths, or a NULL array",
                       count, truths);
    if (points != 0 && points != 11 && points != 101)
        return dn_fail(DN_ERROR_ARGUMENT, "dn_average_precision: points is %d, expected 0, 11 or 101",
                       points);
    *out = 0;
    for (int i = 0; i < count; ++i)
        if (isnan(scores[i]))
            return dn_fail(DN_ERROR_NUMERIC, "dn_average_precision: score %d is not a number", i);
    if (count == 0 || truths == 0) return DN_OK;

    dn_ranked *ranked = NULL;
    double *recall = NULL, *best = NULL;
    dn_status status = DN_OK;
    DN_TRY_GOTO(dn_new(&ranked, (size_t)count, sizeof *ranked, "ranking"));
    DN_TRY_GOTO(dn_new(&recall, (size_t)count, sizeof *recall, "ranking"));
    DN_TRY_GOTO(dn_new(&best, (size_t)count, sizeof *best, "ranking"));
    for (int i = 0; i < count; ++i) ranked[i] = (dn_ranked){scores[i], i, matches[i] != 0};
    qsort(ranked, (size_t)count, sizeof *ranked, compare_ranked);
    int hits = 0;
    for (int rank = 0; rank < count; ++rank) {
        hits += ranked[rank].match;
        recall[rank] = (double)hits / truths;
        best[rank] = (double)hits / (rank + 1);
    }
    for (int rank = count - 2; rank >= 0; --rank) best[rank] = fmax(best[rank], best[rank + 1]);
    if (hits > truths) {
        status =
            dn_fail(DN_ERROR_ARGUMENT, "dn_average_precision: %d true positives of %d truths", hits, truths);
        goto fail;
    }
    *out = points == 0 ? area(recall, best, count) : sampled(recall, best, count, points);
fail:
    dn_free(ranked);
    dn_free(recall);
    dn_free(best);
    return status;
}
