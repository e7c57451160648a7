/* plan.h - a network turned into operations for inference, once: batch normalisation folded, weights packed,
 * tensors placed in one arena by lifetime, joins made free. Read-only after building; shared by all sessions
 * of a network. */
#ifndef DN_PLAN_H
#define DN_PLAN_H

#include "../network/network.h"

typedef enum dn_plan_kind {
    DN_PLAN_CONV,    /* prepared convolution, perhaps with a residual added, or pooled */
    DN_PLAN_FORWARD, /* the layer's own forward */
    DN_PLAN_COPY,    /* a source into its place in a joined buffer */
    DN_PLAN_CLEAR    /* a buffer that nothing writes but something reads */
} dn_plan_kind;

/* Where a layer's output lives: floats from the start of the arena, or the network's input itself. */
typedef struct dn_plan_value {
    int root;      /* layer that owns the buffer; -1: the network's input; -2: none */
    size_t offset; /* within the root until placed, then within the arena */
    size_t floats;
    /* Where several images are computed: passing values have their place in one arena, image after image,
     * until a step that takes them together; the others have theirs in an arena of each image. */
    bool passing;
    size_t kept_offset;
} dn_plan_value;

typedef struct dn_plan_op {
    dn_plan_kind kind;
    int layer;           /* whose output this computes */
    int input;           /* layer whose value is read (-1: the network's input) */
    int residual;        /* layer added to a convolution's result; -2: none */
    dn_activation after; /* of the sum with the residual */
    bool pooled;         /* layer is a pool; the convolution's own output is never stored */
    size_t offset;       /* COPY: within the layer's value */
    dn_conv_prepared *conv;
    dn_conv_shape shape;
    size_t most_floats; /* that Winograd may take for the weights; 0: no Winograd */
    bool together; /* several images at a time: its weights are more than what an image reads and writes */
    bool joined; /* runs with the next step, which alone reads what it gives: that is nowhere in the arena */
} dn_plan_op;

struct dn_plan {
    atomic_int references;
    const dn_network *network;
    int count;             /* layers */
    dn_plan_value *values; /* per layer */
    dn_plan_op *ops;
    int op_count;
    size_t arena, kept_arena; /* floats */
    float *packed;            /* weights and biases of all convolutions */
    size_t packed_bytes;
    size_t plain_floats;   /* of the weights that were packed, as the network has them */
    size_t working_floats; /* that were needed to pack them */
    bool described;        /* nothing is packed: to look at only */
    bool together;         /* some operation takes several images */
};

/* What error.c knows of a layer's output: variance and squared range, in units of the sums of convolutions,
 * and of a squared error there how much arrives at the network's outputs, of their squared ranges. */
typedef struct dn_plan_signal {
    double variance, range, arrives;
} dn_plan_signal;
void dn_plan_find_signals(const dn_network *network, const dn_lowered *lowered, dn_plan_signal *signals);

/* Gives each convolution its most_floats and its shape's most_error (budget.c). */
dn_status dn_plan_choose(dn_plan *plan, const dn_lowered *lowered, const int *convs);
/* Folds and packs the weights of prepared convolutions, unless the plan is described only, and counts what
 * that takes (pack.c). convs: per operation, the convolution it runs. */
dn_status dn_plan_pack(dn_plan *plan, const dn_lowered *lowered, const int *convs, int threads);

/* The plan of the network as it is now: the cached one, or a new one, made by so many threads. The caller
 * gives back one reference. */
dn_status dn_plan_acquire(dn_plan **out, dn_network *network, int threads, uint64_t *version);
/* The plan that acquire would make, without packing anything: nobody else's, to be released. */
dn_status dn_plan_describe(dn_plan **out, const dn_network *network, int threads);
void dn_plan_release(dn_plan *plan); /* accepts NULL */

/* The convolutions of the steps that run together from this one on. Returns how many. */
enum { DN_PLAN_JOINED = 3 }; /* at most */
int dn_plan_joined(const dn_plan *plan, int step, const dn_conv_prepared *convs[DN_PLAN_JOINED]);

/* cost.c: fills what step has, of a plan, into a cleared *out. */
void dn_plan_step_cost(dn_plan_step *out, const dn_plan *plan, int step);

/* memory.c: places buffers that live from start to end (op indices, inclusive) so that those alive together
 * do not overlap. order: scratch, count ints. Offsets are written; returns the floats needed. */
typedef struct dn_plan_buffer {
    size_t floats, offset;
    int start, end;
} dn_plan_buffer;
size_t dn_plan_place(dn_plan_buffer *buffers, int count, int *order);

#endif
