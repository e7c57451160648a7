/* layer.h - the contract between layers and everything else. A layer type is one file and one row in
 * layer_list.h.
 *
 * A type gives: its keys; configure (options -> settings and output shape, checked); forward; backward; lower
 * (how the planner sees it); detect, for heads. Parameters are declared in configure as a list in file order;
 * reading and writing .weights, arenas, optimisers, counts and gradient checks follow from that list alone.
 */
#ifndef DN_LAYER_H
#define DN_LAYER_H

#include "../backends/backend.h"
#include "../boxes/box.h"
#include "../config/config.h"

typedef struct dn_layer dn_layer;
typedef struct dn_layer_type dn_layer_type;

/* ---- what a layer can ask of the [net] section and of earlier layers while it is configured ---- */

typedef enum dn_policy {
    DN_POLICY_CONSTANT,
    DN_POLICY_STEP,
    DN_POLICY_EXP,
    DN_POLICY_POLY,
    DN_POLICY_STEPS,
    DN_POLICY_SIGMOID,
    DN_POLICY_RANDOM,
    DN_POLICY_SGDR
} dn_policy;

/* Keys of [net]; the loaders' own (augmentation) stay text. */
typedef struct dn_net_settings {
    int batch, subdivisions, time_steps; /* batch: images per forward pass when training */
    int w, h, c;                         /* 0 for networks fed with vectors */
    size_t inputs;
    bool adam;
    float learning_rate, momentum, decay, b1, b2, eps, clip;
    dn_policy policy;
    int burn_in, max_batches, step, cycle, steps_count;
    float power, scale, gamma, learning_rate_min, cycle_multiplier;
    int *steps;    /* [steps_count], owned by the network */
    float *scales; /* [steps_count] */
} dn_net_settings;

typedef struct dn_graph {
    const dn_net_settings *net;
    const dn_layer *layers; /* those configured so far */
    int count;
    const dn_layer *before; /* all layers as they were, of a network that is being resized; else NULL */
    dn_numerics numerics;
    dn_dialect dialect;
} dn_graph;

/* ---- parameters ---- */

typedef enum dn_param_role {
    DN_PARAM_BIAS,     /* no weight decay */
    DN_PARAM_SCALE,    /* no weight decay */
    DN_PARAM_MEAN,     /* running statistic, not trained */
    DN_PARAM_VARIANCE, /* running statistic, not trained */
    DN_PARAM_WEIGHT
} dn_param_role;

typedef struct dn_param {
    char name[32];
    dn_param_role role;
    int dims[5]; /* unused ones 0 */
    size_t count;
    size_t offset;        /* in the network's arena */
    bool file_transposed; /* [a][b] stored as [b][a] in files of the old layout (connected layers) */
    bool file_flipped;    /* key flipped=1: stored as [b][a] in every file */
    bool alexeyab_only;   /* in weights files of that dialect only */
    int filter_dim;       /* which of dims counts filters, for numload */
    bool normal;          /* initial values: normal, else uniform in -1..1, times spread, plus center */
    float spread, center;
} dn_param;

/* ---- a layer of a network ---- */

struct dn_layer {
    const dn_layer_type *type;
    int index;
    int line;                                  /* of its section */
    int in_w, in_h, in_c, out_w, out_h, out_c; /* 0 where the value is a plain vector */
    size_t inputs, outputs;                    /* floats per image */
    bool in_place;                             /* output and delta are the previous layer's buffers */
    bool has_cost;                             /* counts in the network's mean cost */
    size_t truths; /* floats of truth per image that the loss reads, at most; 0: no loss */
    int *sources;  /* earlier layers read besides the previous one */
    int source_count;
    bool reads_previous; /* the previous layer's output; true unless a type says otherwise */
    /* keys every layer has (compat.md section 4) */
    bool truth, only_forward, dont_save, dont_load, dont_load_scales;
    int stop_backward; /* 1: always; more: before so many updates were made */
    bool dont_update, train_only_bn;
    int burnin_update; /* times burn_in: updates during which this layer has none */
    float clip;        /* of weights; 0: none */
    int num_load;
    float learning_rate;
    /* declared memory */
    dn_param *params;
    int param_count; /* of its own; a layer that uses another's has none */
    int shared_with; /* that other layer, whose parameters `params` then repeats, shared_count of them */
    int shared_count;
    size_t saved_per_image, saved_fixed; /* floats kept from forward to backward in training */
    size_t saved_per_stream;             /* as well, in recurrent layers */
    size_t
        state_per_stream; /* floats that recurrent layers carry from one time step, and pass, to the next */
    const char *flat_reason,
        *in_flat_reason; /* why the output, the input is no map, if there is more to say */
    double flops;        /* one image, forward, 2 per multiply-add */
    void *settings;      /* the type's own struct, cleared before configure */
};

/* Adds a parameter to layer->params; dims end at the first 0. */
dn_status dn_layer_add_param(dn_layer *layer, dn_param **out, const char *name, dn_param_role role, int d0,
                             int d1, int d2, int d3);
/* Makes the parameters declared so far those of an earlier layer that declares the same ones. */
void dn_layer_share_params(dn_layer *layer, const dn_layer *owner);
dn_status dn_layer_set_sources(dn_layer *layer, const int *sources, int count);
/* Sets out_* and outputs, refusing sizes below 1 or beyond limits. */
dn_status dn_layer_set_output(dn_layer *layer, dn_section *section, int w, int h, int c);
/* Fails unless the layer's input is an image. */
dn_status dn_layer_needs_image(const dn_layer *layer, const dn_section *section);
/* An absolute index for a cfg's layer reference (negative: relative to `layer`), checked. */
dn_status dn_layer_reference(int *out, const dn_layer *layer, const dn_section *section, const char *key,
                             int value);
/* An activation's name; unknown ones are relu, with a warning, as in the reference. */
dn_status dn_layer_activation(dn_activation *out, dn_section *section, const char *key);
bool dn_activation_needs_pre(dn_activation kind); /* its gradient takes the pre-activation */
bool dn_activation_across_channels(dn_activation kind);

/* ---- a pass over the layers: buffers of one session or trainer ---- */

typedef struct dn_run {
    const dn_ops *ops;
    dn_device *device;
    const dn_layer *layers;
    int count;
    int batch; /* images in this pass; with recurrent layers rows [steps][streams] */
    int steps; /* time steps of recurrent layers in this pass */
    bool train;
    bool pjreddie_cpu; /* numerics */
    bool overwrite;    /* backward: the previous layer's delta holds nothing yet; set it instead of adding */
    bool exact;    /* convolutions by direct summation: outside training, as plans are checked against it */
    float *params; /* the network's arena; written only by batch normalisation's running statistics */
    float *gradients;   /* same order; NULL unless training */
    const float *input; /* [batch][inputs] */
    float *input_delta; /* NULL unless asked for */
    float **output;     /* per layer: [batch][outputs] */
    float **delta;      /* per layer; NULL unless training */
    float **saved;      /* per layer: [batch][saved_per_image], [streams][saved_per_stream], [saved_fixed];
                         * NULL unless training */
    float **state;      /* per layer: [streams][state_per_stream]; NULL without recurrent layers */
    float *scratch;     /* as large as the largest layer's scratch() */
    const float *truth; /* [batch][truths], or NULL */
    size_t truths;
    float *cost;               /* per layer */
    char (*head_lines)[192];   /* per layer: numbers of the last training pass, or NULL */
    uint64_t seen, seed, step; /* step keys random numbers */
    uint64_t updates;          /* made before this pass */
} dn_run;

/* Sequences that recurrent layers run side by side. */
static inline int dn_run_streams(const dn_run *run) {
    return run->batch / run->steps;
}

static inline const float *dn_run_input(const dn_run *run, const dn_layer *layer) {
    return layer->index ? run->output[layer->index - 1] : run->input;
}

/* Where the gradient of the layer's input accumulates; NULL when nobody wants it. */
static inline float *dn_run_input_delta(const dn_run *run, const dn_layer *layer) {
    return layer->index ? run->delta[layer->index - 1] : run->input_delta;
}

static inline float *dn_run_param(const dn_run *run, const dn_layer *layer, int param) {
    return run->params + layer->params[param].offset;
}

static inline float *dn_run_gradient(const dn_run *run, const dn_layer *layer, int param) {
    return run->gradients + layer->params[param].offset;
}

/* The layer's delta if this pass has one. */
static inline float *dn_run_delta(const dn_run *run, const dn_layer *layer) {
    return run->delta ? run->delta[layer->index] : NULL;
}

/* Adds the layer's delta, times a factor, to that of its input, which is of the same size. */
static inline void dn_run_pass_delta(const dn_run *run, const dn_layer *layer, float factor) {
    float *input_delta = dn_run_input_delta(run, layer);
    if (input_delta)
        run->ops->axpy(run->device, input_delta, factor, run->delta[layer->index],
                       (size_t)run->batch * layer->inputs);
}

/* ---- how the planner sees a layer ---- */

typedef enum dn_lowered_kind {
    DN_LOWERED_FORWARD, /* runs the layer's own forward */
    DN_LOWERED_CONV,    /* activation(conv + bias), batch normalisation folded */
    DN_LOWERED_ALIAS,   /* the output is (a slice of) the source's */
    DN_LOWERED_CONCAT,  /* the sources' outputs, one after the other */
    DN_LOWERED_ADD,     /* activation(previous + source), same shape */
    DN_LOWERED_MAXPOOL, /* the largest of each window of the previous layer's */
    DN_LOWERED_NOTHING  /* no output at test time */
} dn_lowered_kind;

typedef struct dn_lowered {
    dn_lowered_kind kind;
    dn_conv_shape conv;
    dn_activation activation;
    int weights, bias, scale, mean, variance; /* parameter indices; -1: none */
    int source;                               /* ALIAS, ADD: layer index (-1: the network's input) */
    size_t offset;                            /* ALIAS: first float within the source's image */
    dn_pool_shape windows;
} dn_lowered;

/* ---- detection heads ---- */

typedef struct dn_head_options {
    float thresh, hier;
    bool hier_paper; /* as in dn_detect_options */
    const int *map;
    int map_count;
    int net_w, net_h;
} dn_head_options;

typedef struct dn_head_info {
    int classes, max_truths, truth_values;
    const char *nms_kind; /* as the cfg says, or NULL */
    float beta_nms;
    const int *map; /* classes to learn instead of the labels', or NULL */
    int map_count;
} dn_head_info;

/* ---- the contract ---- */

struct dn_layer_type {
    const char *name;
    const char *aliases; /* comma-separated, or NULL */
    const char *summary; /* one line, for documentation */
    const dn_key *keys;  /* ended by a NULL name */
    size_t settings_size;
    dn_status (*configure)(dn_layer *layer, dn_section *section, const dn_graph *graph);
    void (*release)(dn_layer *layer); /* frees what settings own; NULL: nothing */
    /* Floats of scratch for a pass; NULL: none. */
    size_t (*scratch)(const dn_layer *layer, const dn_ops *ops, dn_device *device, int batch, bool train);
    bool overwrites; /* backward heeds run->overwrite */
    dn_status (*forward)(const dn_layer *layer, dn_run *run);
    /* Takes run->delta of the layer, adds to its sources' deltas and to the gradients. NULL: gradients stop
     * here. */
    dn_status (*backward)(const dn_layer *layer, dn_run *run);
    void (*lower)(const dn_layer *layer, dn_lowered *out); /* NULL: DN_LOWERED_FORWARD */
    /* Adds the boxes of one image's output, relative to the network's input. */
    dn_status (*detect)(const dn_layer *layer, const float *output, const dn_head_options *options,
                        dn_detection_list *out);
    void (*head_info)(const dn_layer *layer, dn_head_info *out);
    const dn_tree *(*tree)(const dn_layer *layer); /* the word tree of its classes; NULL: never one */
    /* One image's output as it would be for the mirrored image; NULL: not known for this type. */
    dn_status (*mirror)(const dn_layer *layer, float *out, const float *output);
};

/* ---- registry ---- */

const dn_layer_type *dn_layer_type_find(const char *name);
const char *dn_layer_type_refused(const char *name); /* why a known type is not there; NULL: not known */
const dn_layer_type *dn_layer_type_at(int i);        /* NULL past the end */
const char *dn_layer_type_nearest(const char *name); /* for hints; NULL: nothing alike */
extern const dn_key dn_layer_common_keys[];

#endif
