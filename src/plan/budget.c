/* budget.c - shares out error and memory among the convolutions of a plan: larger Winograd tiles multiply
 * less, round more and keep more weights. First, while more of all errors would arrive at the outputs than
 * may, the convolution at which that costs least time must be more exact; then each step up in memory goes to
 * the one that saves most time per float, until nothing more fits. */
#include "plan.h"

#include <math.h>

enum {
    FAST = 340, /* packed weights, in hundredths of the plain ones: yolov3 at 608 wants 257, 676 MiB in all */
    LEAN = 126, /* 366 MiB; early layers, where many pixels share few weights, have most of the work */
    LEAST_FAST = 32 << 20, /* floats, that small networks may have in any case: 128 and 4 MiB */
    LEAST_LEAN = 1 << 20
};

/* Root mean square at the outputs, of their ranges, five to ten times less than the largest difference there:
 * yolov4 at 608 x 608 would have 1.1e-4 and 1.2e-3, and has 6e-5 and 5.7e-4. */
static const double MOST_ERROR = 6e-5;

typedef struct share {
    dn_plan_op *op;
    dn_conv_choice choices[DN_CONV_CHOICES];
    int count, now, next; /* next: the step up that saves most time per float (or takes none), or 0 */
    double rate;
    double arrives;   /* of its squared error at the outputs */
    float most_error; /* of the more exact choices that save most error for their time, if rate > 0 */
} share;

/* ---- error ---- */

static float worst_of(const dn_conv_choice *choices, int count) {
    float worst = 0;
    for (int i = 0; i < count; ++i) worst = choices[i].error > worst ? choices[i].error : worst;
    return worst;
}

static double squared_error(const share *s, const dn_conv_choice *choices, int count) {
    const double worst = (double)worst_of(choices, count);
    return s->arrives * worst * worst;
}

static void find_choices(const dn_network *network, share *s) {
    s->count = network->ops->conv_choices(&s->op->shape, s->choices);
}

/* The largest tiles that are more exact, those after them, and so on. Plain weights are none of the steps:
 * direct summation takes longer than modelled. */
static void find_exact_step(const dn_network *network, share *s) {
    dn_conv_choice fewer[DN_CONV_CHOICES];
    dn_conv_shape shape = s->op->shape;
    float worst = worst_of(s->choices, s->count);
    s->rate = 0;
    while (worst > 0) {
        shape.most_error = nextafterf(worst, 0);
        const int count = network->ops->conv_choices(&shape, fewer);
        worst = worst_of(fewer, count);
        if (count < 2) return;
        const double saved = squared_error(s, s->choices, s->count) - squared_error(s, fewer, count);
        const double slower = fewer[count - 1].cost - s->choices[s->count - 1].cost;
        const double rate = saved / (slower > 1 ? slower : 1);
        if (rate <= s->rate) continue;
        s->rate = rate;
        s->most_error = worst;
    }
}

static void share_error(const dn_network *network, share *shares, int count) {
    double sum = 0;
    for (int i = 0; i < count; ++i) sum += squared_error(&shares[i], shares[i].choices, shares[i].count);
    for (int i = 0; i < count && sum > MOST_ERROR * MOST_ERROR; ++i) find_exact_step(network, &shares[i]);
    while (sum > MOST_ERROR * MOST_ERROR) {
        share *best = NULL;
        for (int i = 0; i < count; ++i)
            if (shares[i].rate > (best ? best->rate : 0)) best = &shares[i];
        if (!best) return;
        sum -= squared_error(best, best->choices, best->count);
        best->op->shape.most_error = best->most_error;
        find_choices(network, best);
        find_exact_step(network, best);
        sum += squared_error(best, best->choices, best->count);
    }
}

/* ---- memory ---- */

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

static void share_memory(share *shares, int count, size_t left) {
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
}

/* ---- both ---- */

dn_status dn_plan_choose(dn_plan *plan, const dn_lowered *lowered, const int *convs) {
    const dn_network *network = plan->network;
    dn_plan_signal *signals = NULL;
    share *shares = NULL;
    int count = 0;
    size_t plain = 0;
    dn_status status;
    DN_TRY_GOTO(dn_new(&shares, (size_t)plan->op_count + 1, sizeof *shares, "plan"));
    DN_TRY_GOTO(dn_new(&signals, (size_t)network->count + 1, sizeof *signals, "plan"));
    dn_plan_find_signals(network, lowered, signals);
    for (int k = 0; k < plan->op_count; ++k) {
        if (plan->ops[k].kind != DN_PLAN_CONV) continue;
        share *s = &shares[count++];
        const dn_plan_signal *made = &signals[convs[k]];
        s->op = &plan->ops[k];
        s->arrives = made->range * made->arrives;
        find_choices(network, s);
        plain += s->choices[0].floats;
    }
    if (!network->options.exact) share_error(network, shares, count);
    const size_t budget = budget_of(network, plain);
    if (!network->options.exact) share_memory(shares, count, budget > plain ? budget - plain : 0);

fail:
    dn_free(signals);
    dn_free(shares);
    return status;
}
