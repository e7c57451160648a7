/* session.h - what a session consists of, for session.c, which runs it, and inspect.c, which tells about it.
 */
#ifndef DN_SESSION_H
#define DN_SESSION_H

#include "plan.h"

struct dn_session {
    dn_network *network;
    dn_device *device;
    int threads;
    dn_plan *plan;
    uint64_t plan_version;
    dn_plan *described; /* of described_version, for who asks before there is a plan */
    uint64_t described_version;
    int images;              /* that have an arena, and are computed step by step */
    float *arenas, *scratch; /* [plan->arena], and for more than one image [images][plan->kept_arena] */
    float **pointers;        /* [images]: run.output of the planned path */
    float *cost;
    bool profiled;
    double *seconds; /* of each step, if profiled */
    bool keeps, kept_any;
    float **kept;        /* per step, if it keeps them: the output of its layer, or NULL */
    dn_run run;          /* planned path, one image */
    float **outputs;     /* per network output: [capacity][count] */
    int capacity, batch; /* images the outputs have room for, images of the last predict */
    dn_runner runner;    /* unfused path */
    uint64_t runner_version;
    int last_activated;
    dn_states states;  /* of recurrent layers: carried from call to call */
    float **row_state; /* run.state of the planned path: one stream's */
    uint64_t resizes;  /* network->resizes at the last predict or activate */
    char line[256];
};

/* Makes sure of the plan of the network's present parameters, and of buffers for a batch of such a size. */
dn_status dn_session_prepare(dn_session *session, int batch);
/* How many images of a batch are computed step by step. */
int dn_session_images(const dn_session *session, const dn_plan *plan, int batch);
/* Floats of arenas for so many images. */
size_t dn_session_arenas(const dn_plan *plan, int images);
/* Floats of scratch that steps of a plan need at most, with so many images. */
size_t dn_session_scratch(const dn_session *session, const dn_plan *plan, int images);
/* New times, from 0, if the session is profiled. */
dn_status dn_session_new_times(dn_session *session);
/* New places for what steps give, if the session keeps that. */
dn_status dn_session_new_kept(dn_session *session);
void dn_session_free_kept(dn_session *session);

#endif
