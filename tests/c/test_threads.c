/* test_threads.c - one network shared by many threads: sessions give bit for bit what a lone session gives,
 * while others are made and freed and parameters are refused. Written for the thread sanitiser (make tsan)
 * and the address sanitiser; uses dn.h only. */
#include "../../include/dn.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 8, IMAGES = 2, SIDE = 20, INPUTS = 3 * SIDE * SIDE, RUNS = 6 };

/* Convolutions of several kinds, a residual, joins, pooling and two heads. */
static const char cfg[] = "[net]\nwidth=20\nheight=20\nchannels=3\nbatch=2\nlearning_rate=0.001\n"
                          "[convolutional]\nfilters=16\nsize=3\npad=1\nactivation=leaky\n"
                          "[convolutional]\nfilters=16\nsize=3\npad=1\ngroups=16\nactivation=relu\n"
                          "[shortcut]\nfrom=-2\nactivation=linear\n"
                          "[maxpool]\nsize=2\nstride=2\n"
                          "[convolutional]\nfilters=24\nsize=1\nactivation=mish\n"
                          "[route]\nlayers=-1,-2\n"
                          "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n"
                          "[yolo]\nmask=0,1\nnum=4\nanchors=3,4,5,6,7,8,9,10\nclasses=2\n"
                          "[route]\nlayers=-4\n"
                          "[upsample]\nstride=2\n"
                          "[route]\nlayers=-1,2\n"
                          "[convolutional]\nfilters=14\nsize=3\npad=1\nactivation=linear\n"
                          "[yolo]\nmask=2,3\nnum=4\nanchors=3,4,5,6,7,8,9,10\nclasses=2\n";

static int failures;

static void check(bool good, const char *name) {
    printf("%s %s\n", good ? "ok" : "FAIL", name);
    failures += !good;
}

static dn_network *make_network(void) {
    dn_network *network = NULL;
    dn_network_options options;
    dn_network_options_init(&options);
    options.threads = 1;
    options.seed = 7;
    if (dn_network_create(&network, cfg, strlen(cfg), &options) != DN_OK) {
        printf("FAIL network: %s\n", dn_error_message());
        exit(1);
    }
    return network;
}

static void fill(float *values, size_t count, uint32_t state) {
    for (size_t i = 0; i < count; ++i) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(state >> 8) / (float)(1 << 24);
    }
}

/* Everything a session says about one input, in one array. */
typedef struct answer {
    float *values;
    size_t count;
} answer;

static size_t output_floats(const dn_network *network) {
    const int *indices;
    size_t count = 0;
    int outputs = dn_network_outputs(network, &indices);
    for (int k = 0; k < outputs; ++k) count += dn_layer_outputs(network, indices[k]);
    return count;
}

static answer new_answer(const dn_network *network) {
    answer all = {NULL, IMAGES * output_floats(network)};
    all.values = calloc(all.count, sizeof *all.values);
    return all;
}

static bool ask(dn_session *session, const float *input, answer *all) {
    size_t at = 0, count;
    if (dn_session_predict(session, input, IMAGES) != DN_OK) return false;
    for (int k = 0; at < all->count; ++k) {
        const float *values = dn_session_output(session, k, &count);
        if (!values) return false;
        memcpy(all->values + at, values, IMAGES * count * sizeof *values);
        at += IMAGES * count;
    }
    dn_detect_options options;
    dn_detections *found;
    dn_detect_options_init(&options);
    options.thresh = 0.3f;
    if (dn_session_detect(&found, session, &options) != DN_OK) return false;
    bool whole = dn_detections_count(found) >= 0;
    dn_detections_free(found);
    return whole;
}

static bool same(const answer *a, const answer *b) {
    return a->count == b->count && memcmp(a->values, b->values, a->count * sizeof *a->values) == 0;
}

/* ---- many threads ---- */

typedef struct job {
    dn_network *network;
    const float *inputs; /* [THREADS][IMAGES][INPUTS] */
    answer *expected;    /* [THREADS] */
    int number, threads; /* of the session */
    bool churn;          /* a new session for every run */
    bool good;
} job;

static void *work(void *argument) {
    job *self = argument;
    dn_session *session = NULL;
    answer found = new_answer(self->network);
    self->good = true;
    for (int run = 0; run < RUNS && self->good; ++run) {
        int which = (self->number + run) % THREADS;
        if (!session) self->good = dn_session_create(&session, self->network, self->threads) == DN_OK;
        self->good = self->good && ask(session, self->inputs + (size_t)which * IMAGES * INPUTS, &found) &&
                     same(&found, &self->expected[which]);
        if (self->churn) {
            dn_session_free(session);
            session = NULL;
        }
    }
    dn_session_free(session);
    free(found.values);
    return NULL;
}

/* A thread that asks for what must be refused while sessions exist. */
static void *meddle(void *argument) {
    job *self = argument;
    float bias[16] = {0};
    self->good = true;
    for (int run = 0; run < 50 && self->good; ++run)
        self->good = dn_layer_param_set(self->network, 0, 0, bias, 16) == DN_ERROR_STATE &&
                     strstr(dn_error_message(), "session") != NULL;
    return NULL;
}

static void run_threads(dn_network *network, const float *inputs, answer *expected, bool churn,
                        const char *name) {
    pthread_t threads[THREADS + 1];
    job jobs[THREADS + 1];
    dn_session *holder = NULL; /* so that there is a session at every moment */
    bool good = dn_session_create(&holder, network, 1) == DN_OK;
    for (int i = 0; i <= THREADS; ++i) {
        jobs[i] = (job){network, inputs, expected, i, 1 + i % 3, churn && i % 2 == 0, false};
        good = good && pthread_create(&threads[i], NULL, i < THREADS ? work : meddle, &jobs[i]) == 0;
    }
    for (int i = 0; i <= THREADS; ++i) {
        pthread_join(threads[i], NULL);
        good = good && jobs[i].good;
    }
    dn_session_free(holder);
    check(good, name);
}

/* ---- one after the other ---- */

static void test_thread_counts(dn_network *network, const float *input, const answer *expected) {
    bool good = true;
    answer found = new_answer(network);
    for (int threads = 1; threads <= 4; ++threads) {
        dn_session *session;
        good = good && dn_session_create(&session, network, threads) == DN_OK &&
               ask(session, input, &found) && same(&found, expected);
        dn_session_free(session);
    }
    free(found.values);
    check(good, "results do not depend on the number of threads");
}

/* The unfused path and training with worker threads, for the sanitiser's sake. */
static void test_training(const float *input) {
    dn_network *network = make_network();
    float costs[2][3] = {{0}}, *truth = calloc(IMAGES * 90 * 5, sizeof *truth);
    bool good = true;
    truth[0] = truth[1] = 0.5f;
    truth[2] = truth[3] = 0.3f;
    for (int threads = 1; threads <= 2; ++threads) {
        dn_network_free(network);
        network = make_network();
        dn_trainer_options options;
        dn_trainer *trainer = NULL;
        dn_trainer_options_init(&options);
        options.threads = threads == 1 ? 1 : 3;
        good = good && dn_trainer_create(&trainer, network, &options) == DN_OK;
        for (int i = 0; i < 3 && good; ++i)
            good = dn_trainer_step(trainer, input, truth, 90 * 5, &costs[threads - 1][i], NULL) == DN_OK;
        dn_trainer_free(trainer);
    }
    if (!good) printf("     %s\n", dn_error_message());
    check(good && memcmp(costs[0], costs[1], sizeof costs[0]) == 0,
          "training does not depend on threads either");
    free(truth);
    dn_network_free(network);
}

static void test_parameters_between_sessions(dn_network *network, const float *input, const answer *before) {
    float bias[16];
    dn_session *session = NULL;
    answer found = new_answer(network);
    bool good = dn_layer_param_get(network, 0, 0, bias, 16) == DN_OK;
    bias[3] += 1;
    good = good && dn_layer_param_set(network, 0, 0, bias, 16) == DN_OK;
    good = good && dn_session_create(&session, network, 2) == DN_OK && ask(session, input, &found) &&
           !same(&found, before);
    dn_session_free(session);
    free(found.values);
    check(good, "a parameter set between sessions is used by the next");
}

int main(void) {
    dn_network *network = make_network();
    float *inputs = malloc(sizeof(float) * THREADS * IMAGES * INPUTS);
    answer expected[THREADS];
    fill(inputs, (size_t)THREADS * IMAGES * INPUTS, 1);
    /* The lone session comes from a network of its own, so that the shared one's first plan is made in the
     * race. */
    dn_network *lone = make_network();
    for (int i = 0; i < THREADS; ++i) {
        dn_session *session = NULL;
        expected[i] = new_answer(lone);
        check(dn_session_create(&session, lone, 1) == DN_OK &&
                  ask(session, inputs + (size_t)i * IMAGES * INPUTS, &expected[i]),
              "a lone session");
        dn_session_free(session);
    }
    dn_network_free(lone);
    run_threads(network, inputs, expected, false, "8 threads with sessions of their own");
    run_threads(network, inputs, expected, true, "sessions made and freed while others run");
    test_thread_counts(network, inputs, &expected[0]);
    test_parameters_between_sessions(network, inputs, &expected[0]);
    test_training(inputs);
    for (int i = 0; i < THREADS; ++i) free(expected[i].values);
    free(inputs);
    dn_network_free(network);
    return failures != 0;
}
