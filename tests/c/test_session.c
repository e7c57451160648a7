/* test_session.c - after the first call of a kind and batch size, running and training allocate nothing. */
#include "../../include/dn.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 24, INPUTS = 3 * SIDE * SIDE, BATCH = 2, TRUTHS = 90 * 5 };

static const char cfg[] =
    "[net]\nwidth=24\nheight=24\nchannels=3\nbatch=2\n"
    "[convolutional]\nfilters=8\nsize=3\nstride=1\npad=1\nbatch_normalize=1\nactivation=leaky\n"
    "[maxpool]\nsize=2\nstride=2\n"
    "[convolutional]\nfilters=16\nsize=3\nstride=1\npad=1\nbatch_normalize=1\nactivation=mish\n"
    "[dropout]\nprobability=.2\n"
    "[convolutional]\nfilters=8\nsize=1\nstride=1\nactivation=leaky\n"
    "[convolutional]\nfilters=16\nsize=3\nstride=1\npad=1\nactivation=linear\n"
    "[shortcut]\nfrom=-3\nactivation=linear\n"
    "[route]\nlayers=-1,1\n"
    "[convolutional]\nfilters=14\nsize=1\nstride=1\nactivation=linear\n"
    "[yolo]\nmask=0,1\nanchors=4,5, 9,8\nclasses=2\nnum=2\n";

static long allocations;

static void *allocate(size_t size, void *user) {
    (void)user;
    allocations++;
    return malloc(size);
}

static void release(void *memory, void *user) {
    (void)user;
    free(memory);
}

static int failures;

static void check(const char *name, dn_status status, long before) {
    bool good = status == DN_OK && allocations == before;
    if (good)
        printf("ok %s\n", name);
    else
        printf("FAIL %s: status %d (%s), %ld allocations\n", name, status, dn_error_message(),
               allocations - before);
    failures += !good;
}

int main(void) {
    static float input[BATCH * INPUTS], truth[BATCH * TRUTHS];
    dn_network *network = NULL;
    dn_session *session = NULL;
    dn_trainer *trainer = NULL;
    float cost;
    for (int i = 0; i < BATCH * INPUTS; ++i) input[i] = (float)(i % 17) / 17;
    for (int b = 0; b < BATCH; ++b)
        memcpy(truth + b * TRUTHS, (float[5]){.5f, .4f, .3f, .2f, 1}, 5 * sizeof(float));

    dn_memory_set(allocate, release, NULL);
    dn_status status = dn_network_create(&network, cfg, sizeof cfg - 1, NULL);
    if (status == DN_OK) status = dn_session_create(&session, network, 2);
    if (status == DN_OK) status = dn_session_predict(session, input, BATCH);
    if (status == DN_OK) status = dn_session_activate(session, input, BATCH, NULL, 0);
    long before = allocations;
    for (int i = 0; status == DN_OK && i < 3; ++i) status = dn_session_predict(session, input, BATCH - i % 2);
    check("predict allocates nothing after its first call", status, before);
    if (status == DN_OK) status = dn_session_profile(session, 1);
    before = allocations;
    if (status == DN_OK) status = dn_session_predict(session, input, BATCH);
    check("nor does predict with times taken", status, before);
    for (int i = 0; status == DN_OK && i < 3; ++i)
        status = dn_session_activate(session, input, BATCH, NULL, 0);
    check("activate allocates nothing after its first call", status, before);

    if (status == DN_OK) status = dn_trainer_create(&trainer, network, NULL);
    if (status == DN_OK) status = dn_trainer_step(trainer, input, truth, TRUTHS, &cost, NULL);
    before = allocations;
    for (int i = 0; status == DN_OK && i < 3; ++i)
        status = dn_trainer_step(trainer, input, truth, TRUTHS, &cost, NULL);
    check("a training step allocates nothing after the first", status, before);

    dn_trainer_free(trainer);
    dn_session_free(session);
    dn_network_free(network);
    return failures != 0;
}
