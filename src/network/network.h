/* network.h - the network inside the core: layers, one arena of parameters, and who is using it. */
#ifndef DN_NETWORK_H
#define DN_NETWORK_H

#include "../base/platform.h"
#include "../base/threads.h"
#include "../layers/layer.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct dn_plan dn_plan;

struct dn_network {
    dn_config *config;
    char *text; /* the cfg itself, for checkpoints */
    size_t text_length;
    dn_network_options options; /* name points at config->file */
    dn_net_settings net;
    dn_layer *layers;
    int count;
    int *outputs; /* indices of the output layers */
    int output_count;
    bool recurrent; /* some layer carries state: a pass has time steps */
    const dn_ops *ops;
    float *params; /* memory of our own or, after loading, the mapped weights file */
    size_t param_count;
    dn_mapping mapping;
    bool written; /* parameters were changed: evicted pages would lose that */
    uint64_t seen;

    pthread_mutex_t mutex;        /* guards what follows */
    int sessions;                 /* parameters can't be set while there are any */
    bool trained;                 /* a trainer has it */
    atomic_uint_fast64_t version; /* changes with the parameters */
    uint64_t resizes;             /* of the input: layers' sizes are no longer what a session has computed */
    dn_plan *plan;                /* of plan_version; shared by sessions */
    uint64_t plan_version;
    void (*plan_release)(dn_plan *plan);
};

/* ---- build.c ---- */

/* The arena of parameters, wherever it lies. */
void dn_network_drop_params(dn_network *network);
/* Layers for another input size; parameters must not change shape. */
dn_status dn_network_resize(dn_network *network, int width, int height);

/* ---- weights.c ---- */

/* Whether the parameters lie in a mapped file; before any were loaded, whether they would. */
bool dn_network_is_mapped(const dn_network *network);

/* ---- net_options.c: the [net] section ---- */

extern const dn_key dn_net_keys[];
dn_status dn_net_settings_read(dn_net_settings *net, dn_section *section, const dn_network_options *options);
void dn_net_settings_free(dn_net_settings *net);

/* ---- state.c: recurrent state ---- */

/* All zero: nothing carried yet. */
typedef struct dn_states {
    const dn_network *network;
    dn_device *device;
    float *values;
    float **layers; /* per layer: [streams][state_per_stream] */
    int streams;
    bool carried; /* set by who has run a pass: streams can't change before a reset */
    size_t floats;
} dn_states;

/* Makes a cleared state unless there is one; what is carried must be of as many streams. Nothing to do
 * without recurrent layers. */
dn_status dn_states_reserve(dn_states *states, const dn_network *network, dn_device *device, int streams);
void dn_states_reset(dn_states *states);             /* all streams to zero */
void dn_states_clear(dn_states *states, int stream); /* one stream to zero */
void dn_states_free(dn_states *states);              /* leaves it empty; safe on an empty one */

/* ---- run.c: unfused passes ---- */

/* Buffers of unfused passes over a network, for a batch of fixed size. */
typedef struct dn_runner {
    dn_run run;
    dn_network *network;
    int capacity;     /* images */
    float *buffers;   /* all of the following in one block */
    float **pointers; /* output, delta, saved */
    bool *unset;      /* per layer: its delta holds nothing yet in this pass; in_place layers: false */
    size_t bytes;
} dn_runner;

dn_status dn_runner_init(dn_runner *runner, dn_network *network, dn_device *device, int batch, bool train,
                         bool input_delta);
/* Bytes of the buffers that dn_runner_init would allocate. */
dn_status dn_runner_bytes(dn_network *network, dn_device *device, int batch, bool train, uint64_t *bytes);
void dn_runner_free(dn_runner *runner); /* leaves it empty; safe on a cleared one */
/* Forward through all layers. run.input, run.truth, run.batch and the rest of run's settings are the
 * caller's. */
dn_status dn_runner_forward(dn_runner *runner);
/* Backward from layer `from` down. */
dn_status dn_runner_backward(dn_runner *runner, int from);
/* One layer of these, for who wants to look between them. */
dn_status dn_runner_forward_layer(dn_runner *runner, int layer);
dn_status dn_runner_backward_layer(dn_runner *runner, int layer);
/* The layer at which the backward pass ends; those before get no gradient. */
int dn_runner_first_learner(const dn_runner *runner);
/* Mean of the costs of the layers that have one. */
float dn_runner_cost(const dn_runner *runner);

/* ---- shared checks ---- */

dn_status dn_check_input(const float *input, int batch);
/* Rows of a recurrent network are whole sequences of time_steps. */
dn_status dn_check_steps(const dn_network *network, int rows);

#endif
