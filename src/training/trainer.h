/* trainer.h - a trainer's state: what checkpoint.c saves and restores bit for bit. */
#ifndef DN_TRAINER_H
#define DN_TRAINER_H

#include "../network/network.h"

struct dn_trainer {
    dn_network *network;
    bool owns_network; /* loaded from a checkpoint */
    dn_trainer_options options;
    dn_device *device;
    dn_runner runner;
    dn_states states; /* of recurrent layers: carried from pass to pass */
    float *gradients; /* in the order of the network's parameters; also the momentum */
    float *moments;   /* Adam: first, then second; else NULL */
    uint64_t updates; /* Adam's t */
    uint64_t passes;  /* forward passes so far: keys random numbers */
    int since_update; /* passes since the last update, in step() */
    bool ran;         /* runner holds a pass */
    char *note;       /* the caller's, kept in checkpoints */
    size_t note_bytes;
    float *marked; /* parameters, gradients and recurrent state as of the last mark, or NULL */
    size_t marked_floats;
    int marked_since_update;
};

#endif
