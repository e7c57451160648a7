/* state.c - what recurrent layers carry from one call to the next: one block per layer, one row per stream.
 */
#include "network.h"

dn_status dn_states_reserve(dn_states *states, const dn_network *network, dn_device *device, int streams) {
    size_t floats = 0, count = (size_t)network->count;
    if (!network->recurrent) return DN_OK;
    if (states->carried && states->streams != streams)
        return dn_fail(DN_ERROR_STATE,
                       "recurrent layers carry the state of %d streams, but this input has %d; reset first",
                       states->streams, streams);
    if (states->values && states->streams == streams) return DN_OK;
    dn_states_free(states);
    for (int i = 0; i < network->count; ++i) {
        size_t more;
        if (!dn_mul(&more, network->layers[i].state_per_stream, (size_t)streams) ||
            !dn_add(&floats, floats, more) || floats > network->options.memory_limit / sizeof(float))
            return dn_fail(DN_ERROR_NO_MEMORY, "the state of %d streams is too large", streams);
    }
    DN_TRY(dn_new(&states->layers, count, sizeof *states->layers, "recurrent state"));
    states->values = network->ops->allocate(device, floats);
    if (!states->values) {
        dn_free(states->layers);
        states->layers = NULL;
        return dn_fail(DN_ERROR_NO_MEMORY, "no memory for the state of %d streams", streams);
    }
    states->network = network;
    states->device = device;
    states->streams = streams;
    states->floats = floats;
    float *at = states->values;
    for (int i = 0; i < network->count; ++i) {
        states->layers[i] = at;
        at += network->layers[i].state_per_stream * (size_t)streams;
    }
    return DN_OK;
}

void dn_states_reset(dn_states *states) {
    for (int stream = 0; states->carried && stream < states->streams; ++stream)
        dn_states_clear(states, stream);
    states->carried = false;
}

void dn_states_clear(dn_states *states, int stream) {
    if (!states->values || stream < 0 || stream >= states->streams) return;
    const dn_network *network = states->network;
    for (int i = 0; i < network->count; ++i) {
        size_t row = network->layers[i].state_per_stream;
        if (row) network->ops->fill(states->device, states->layers[i] + (size_t)stream * row, 0, row);
    }
}

void dn_states_free(dn_states *states) {
    if (states->values) states->network->ops->release(states->device, states->values);
    dn_free(states->layers);
    *states = (dn_states){0};
}
