/* budget.c - shares out memory among the convolutions of a plan: larger Winograd tiles multiply less and keep
 * more weights. Each step goes to the convolution that saves most time per float, until nothing more fits. */
#include "plan.h"

enum {
    FAST = 340, /* packed weights, in hundredths of the plain ones: yolov3 at 608 needs 870 MiB in all */
    LEAN = 126, /* 380 MiB; early layers, where many pixels share few weights, have most of the work */
    LEAST_FAST = 32 << 20, /* floats */
    LEAST_LEAN = 1 << 20
};

typedef struct share {
    dn_plan_op *op;
    dn_conv_choice choices[DN_CONV_CHOICES];
    int count, now, next; /* next: the step up that saves most time per float, or 0 */
    double rate;
} share;

static void find_step(share *s, size_t left) {
    s->next = 0;
    for (int i = s->now + 1; i < s->count; ++i) {
        const size_t more = s->choices[i].floats - s->choices[s->now].floats;
        const double rate = (s->choices[s->now].cost - s->choices[i].cost) / (double)more;
        if (more > left || (s->next && rate <= s->rate)) continue;
        s->next = i;
        s->rate = rate;
    }
}

static size_t budget_of(const dn_network *network, size_t plain) {
    const bool lean = network->options.memory == DN_MEMORY_LEAN;
    const size_t part = plain / 100 * (lean ? LEAN : FAST);
    if (network->options.exact) return 0;
    return dn_min_size(dn_max_size(part, lean ? LEAST_LEAN : LEAST_FAST),
                       (size_t)network->options.memory_limit / 2 / sizeof(float)); /* half is for the rest */
}

dn_status dn_plan_share_memory(dn_plan *plan) {
    share *shares;
    int count = 0;
    size_t plain = 0;
    DN_TRY(dn_new(&shares, (size_t)plan->op_count + 1, sizeof *shares, "plan"));
    for (int k = 0; k < plan->op_count; ++k) {
        if (plan->ops[k].kind != DN_PLAN_CONV) continue;
        share *s = &shares[count++];
        s->op = &plan->ops[k];
        s->count = plan->network->ops->conv_choices(&s->op->shape, s->choices);
        plain += s->choices[0].floats;
    }
    const size_t budget = budget_of(plan->network, plain);
    size_t left = budget > plain ? budget - plain : 0;
    for (;;) {
        share *best = NULL;
        for (int i = 0; i < count; ++i) {
            find_step(&shares[i], left);
            if (shares[i].next && (!best || shares[i].rate > best->rate)) best = &shares[i];
        }
        if (!best) break;
        left -= best->choices[best->next].floats - best->choices[best->now].floats;
        best->now = best->next;
    }
    for (int i = 0; i < count; ++i)
        shares[i].op->most_floats = shares[i].now ? shares[i].choices[shares[i].now].floats : 0;
    dn_free(shares);
    return DN_OK;
}
