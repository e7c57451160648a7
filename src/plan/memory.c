/* memory.c - places tensors in one arena by lifetime: largest first, each at the lowest offset where it
 * overlaps no buffer alive at the same time. */
#include "plan.h"

static bool alive_together(const dn_plan_buffer *a, const dn_plan_buffer *b) {
    return a->start <= b->end && b->start <= a->end;
}

/* Insertion sort by falling size: plans have hundreds of buffers, and equal sizes keep their order. */
static void sort_by_size(const dn_plan_buffer *buffers, int count, int *order) {
    for (int i = 0; i < count; ++i) {
        int at = i;
        for (; at > 0 && buffers[order[at - 1]].floats < buffers[i].floats; --at) order[at] = order[at - 1];
        order[at] = i;
    }
}

size_t dn_plan_place(dn_plan_buffer *buffers, int count, int *order) {
    size_t total = 0;
    sort_by_size(buffers, count, order);
    for (int i = 0; i < count; ++i) {
        dn_plan_buffer *buffer = &buffers[order[i]];
        size_t size = dn_round_up(buffer->floats, 16);
        buffer->offset = 0;
        /* Moving past one conflict may run into another, earlier in the order: repeat until there is none. */
        for (bool moved = true; moved;) {
            moved = false;
            for (int k = 0; k < i; ++k) {
                const dn_plan_buffer *other = &buffers[order[k]];
                size_t other_end = other->offset + dn_round_up(other->floats, 16);
                if (alive_together(buffer, other) && buffer->offset < other_end &&
                    other->offset < buffer->offset + size) {
                    buffer->offset = other_end;
                    moved = true;
                }
            }
        }
        total = dn_max_size(total, buffer->offset + size);
    }
    return total;
}
