/* test_faults.c - every allocation fails once: whatever is asked for then ends in an error or goes on
 * without, nothing crashes, nothing leaks, and what exists stays usable. Uses dn.h only, through its
 * allocator hook. */
#include "../../include/dn.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIDE = 12, INPUTS = 3 * SIDE * SIDE, BATCH = 2, MOST_ALLOCATIONS = 100000 };

static const char cfg[] = "[net]\nwidth=12\nheight=12\nchannels=3\nbatch=2\nadam=1\nunknown=1\npolicy=steps\n"
                          "steps=3,4\nscales=.1,.1\n"
                          "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\npad=1\nactivation=leaky\n"
                          "[convolutional]\nfilters=8\nsize=3\npad=1\nactivation=mish\n"
                          "[shortcut]\nfrom=-2\nactivation=linear\n"
                          "[dropout]\nprobability=.5\n"
                          "[maxpool]\nsize=2\nstride=2\n"
                          "[route]\nlayers=-1,-1\n"
                          "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n"
                          "[yolo]\nmask=0,1\nnum=2\nanchors=3,4,5,6\nclasses=2\ncounters_per_class=4,8\n"
                          "[route]\nlayers=4\n"
                          "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n"
                          "[region]\nnum=2\nanchors=1,1,2,2\nclasses=2\n";

/* ---- an allocator that counts, and fails once ---- */

static struct {
    long calls, fails_at, live;
    size_t bytes; /* asked for, all together */
} memory;

static void *allocate(size_t size, void *user) {
    (void)user;
    if (++memory.calls == memory.fails_at) return NULL;
    void *block = malloc(size);
    memory.live += block != NULL;
    memory.bytes += size;
    return block;
}

static void release(void *block, void *user) {
    (void)user;
    memory.live--;
    free(block);
}

static int failures;

static void check(bool good, const char *name, const char *more) {
    printf("%s %s%s%s\n", good ? "ok" : "FAIL", name, more[0] ? ": " : "", more);
    failures += !good;
}

/* ---- what is tried ---- */

static float input[2 * BATCH * INPUTS]; /* room for the larger size of training */
static unsigned char weights[1 << 16];
static size_t weights_length;
static char folder[] = "/tmp/dn_faults_XXXXXX", weights_path[64], checkpoint_path[64], cfg_path[64],
            tree_path[64], map_path[64];

static dn_status create(dn_network **out) {
    dn_network_options options;
    dn_network_options_init(&options);
    options.threads = 2;
    return dn_network_create(out, cfg, strlen(cfg), &options);
}

static dn_status try_network(void) {
    dn_network *network = NULL;
    dn_status status = create(&network);
    dn_network_free(network);
    return status;
}

static dn_status try_network_file(void) {
    dn_network *network = NULL;
    dn_status status = dn_network_load(&network, cfg_path, NULL);
    dn_network_free(network);
    return status;
}

/* Reading for its own sake keeps what is wrong as notes. */
static dn_status try_config(void) {
    static const char wrong[] = "a=1\n[net]#\nwidth=3 # three\nheight=\nx\n[yolo\nnum=1\nnum=2\n";
    dn_config *config = NULL;
    dn_status status = dn_config_create(&config, wrong, strlen(wrong), NULL);
    dn_config_free(config);
    return status;
}

/* A head with a tree and a map, a copy of its tree, and both files by themselves. */
static dn_status try_tree(void) {
    char text[512];
    int length = snprintf(text, sizeof text,
                          "[net]\nwidth=12\nheight=12\nchannels=3\n"
                          "[convolutional]\nfilters=8\nsize=1\n"
                          "[region]\nclasses=3\ntree=%s\nmap=%s\n",
                          tree_path, map_path);
    dn_network *network = NULL;
    dn_tree *tree = NULL, *copy = NULL;
    int *map = NULL, count = 0;
    dn_status status = dn_network_create(&network, text, (size_t)length, NULL);
    if (status == DN_OK) status = dn_layer_word_tree(&copy, network, 1);
    if (status == DN_OK) status = dn_tree_load(&tree, tree_path);
    if (status == DN_OK) status = dn_map_load(&map, &count, map_path, dn_tree_size(tree));
    if (status == DN_OK && (count != 2 || map[1] != 2 || dn_tree_size(copy) != 3))
        check(false, "a tree and a map", "not what their files say");
    dn_map_free(map);
    dn_tree_free(tree);
    dn_tree_free(copy);
    dn_network_free(network);
    return status;
}

static dn_status try_weights_bytes(void) {
    dn_network *network = NULL;
    dn_status status = create(&network);
    if (status == DN_OK)
        status = dn_network_load_weights_bytes(network, weights, weights_length, "w", 0, -1, 0);
    dn_network_free(network);
    return status;
}

static dn_status try_weights_files(void) {
    dn_network *network = NULL;
    dn_status status = create(&network);
    if (status == DN_OK) status = dn_network_save_weights(network, weights_path, -1);
    if (status == DN_OK) status = dn_network_load_weights(network, weights_path, 0, -1, 0);
    dn_network_free(network);
    return status;
}

static dn_status detect(dn_session *session) {
    dn_detections *found = NULL;
    dn_detect_options options;
    dn_detect_options_init(&options);
    options.thresh = 0.1f;
    options.letterbox = 1;
    dn_status status = dn_session_detect(&found, session, &options);
    dn_detections_free(found);
    return status;
}

/* A session that failed once must do the same work when it is asked again. */
static dn_status try_session(void) {
    dn_network *network = NULL;
    dn_session *session = NULL;
    dn_status status = create(&network);
    if (status == DN_OK) status = dn_session_create(&session, network, 2);
    if (status == DN_OK) {
        status = dn_session_predict(session, input, BATCH);
        if (status == DN_OK) status = detect(session);
        if (status != DN_OK &&
            (dn_session_predict(session, input, BATCH) != DN_OK || detect(session) != DN_OK))
            check(false, "a session works again after memory ran out", dn_error_message());
    }
    dn_session_free(session);
    dn_network_free(network);
    return status;
}

static dn_status try_activate(void) {
    dn_network *network = NULL;
    dn_session *session = NULL;
    dn_status status = create(&network);
    if (status == DN_OK) status = dn_session_create(&session, network, 1);
    if (status == DN_OK) {
        status = dn_session_activate(session, input, BATCH, NULL, 0);
        if (status != DN_OK && dn_session_activate(session, input, BATCH, NULL, 0) != DN_OK)
            check(false, "activate works again after memory ran out", dn_error_message());
    }
    dn_session_free(session);
    dn_network_free(network);
    return status;
}

static dn_status train(dn_trainer *trainer, const float *rows, size_t truths) {
    float cost;
    int updated;
    dn_status status = dn_trainer_step(trainer, input, rows, truths, &cost, &updated);
    if (status == DN_OK) status = dn_trainer_resize(trainer, SIDE + 4, SIDE);
    if (status == DN_OK) status = dn_trainer_resize(trainer, SIDE, SIDE);
    return status == DN_OK ? dn_trainer_step(trainer, input, rows, truths, &cost, &updated) : status;
}

static dn_status try_trainer(void) {
    dn_network *network = NULL;
    dn_trainer *trainer = NULL;
    dn_status status = create(&network);
    if (status == DN_OK) status = dn_trainer_create(&trainer, network, NULL);
    if (status == DN_OK) {
        status = train(trainer, NULL, 0);
        if (status != DN_OK && train(trainer, NULL, 0) != DN_OK)
            check(false, "a trainer works again after memory ran out", dn_error_message());
    }
    dn_trainer_free(trainer);
    dn_network_free(network);
    return status;
}

/* What dn_trainer_bytes says is what a trainer asks for, but for small change; asking allocates nothing of
 * it. */
static void measure_trainer(void) {
    dn_network *network = NULL;
    dn_trainer *trainer = NULL;
    uint64_t fixed = 0, pass = 0;
    char detail[120] = "";
    bool good = create(&network) == DN_OK;
    memory.bytes = 0;
    good = good && dn_trainer_bytes(network, BATCH, 0, &fixed, &pass) == DN_OK;
    size_t asking = memory.bytes;
    memory.bytes = 0;
    good = good && dn_trainer_create(&trainer, network, NULL) == DN_OK;
    double told = (double)(fixed + pass), taken = (double)(memory.bytes - asking);
    good = good && asking < fixed && told <= taken && taken < 1.1 * told;
    good = good && dn_trainer_bytes(network, 0, 0, &fixed, &pass) == DN_ERROR_ARGUMENT;
    snprintf(detail, sizeof detail, "%.0f told, %.0f taken, %zu to ask", told, taken, asking);
    check(good, "the bytes of a trainer", detail);
    dn_trainer_free(trainer);
    dn_network_free(network);
}

static dn_status try_checkpoint(void) {
    dn_network *network = NULL;
    dn_trainer *trainer = NULL, *loaded = NULL;
    dn_status status = create(&network);
    if (status == DN_OK) status = dn_trainer_create(&trainer, network, NULL);
    if (status == DN_OK) status = dn_trainer_save(trainer, checkpoint_path);
    if (status == DN_OK) status = dn_trainer_load(&loaded, checkpoint_path, 2);
    if (status == DN_OK) status = dn_trainer_backward(loaded, input, NULL, 0, NULL);
    dn_trainer_free(loaded);
    dn_trainer_free(trainer);
    dn_network_free(network);
    return status;
}

/* ---- every allocation of a task fails once ---- */

static void every_allocation(const char *name, dn_status (*task)(void)) {
    char detail[240] = "";
    bool good = true;
    long total;
    memory.calls = memory.live = memory.fails_at = 0;
    if (task() != DN_OK) {
        check(false, name, dn_error_message());
        return;
    }
    total = memory.calls;
    good = total > 0 && memory.live == 0;
    if (!good) snprintf(detail, sizeof detail, "%ld of %ld blocks left with no fault", memory.live, total);
    for (long n = 1; good && n <= total && n < MOST_ALLOCATIONS; ++n) {
        memory.calls = 0;
        memory.fails_at = n;
        dn_status status = task();
        good = memory.live == 0 && (status == DN_ERROR_NO_MEMORY || status == DN_OK);
        if (status == DN_ERROR_NO_MEMORY && !strstr(dn_error_message(), "memory")) good = false;
        if (!good)
            snprintf(detail, sizeof detail, "allocation %ld of %ld: status %d, %ld blocks left: %.80s", n,
                     total, (int)status, memory.live, dn_error_message());
    }
    memory.fails_at = 0;
    if (good) snprintf(detail, sizeof detail, "%ld allocations", total);
    check(good, name, detail);
}

static void remove_files(void) {
    remove(weights_path);
    remove(checkpoint_path);
    remove(cfg_path);
    remove(tree_path);
    remove(map_path);
}

static bool write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    if (!file) return false;
    bool good = fwrite(text, 1, strlen(text), file) == strlen(text);
    return fclose(file) == 0 && good;
}

static bool make_files(void) {
    dn_network *network = NULL;
    if (!mkdtemp(folder)) return false;
    snprintf(weights_path, sizeof weights_path, "%s/w.weights", folder);
    snprintf(checkpoint_path, sizeof checkpoint_path, "%s/c.checkpoint", folder);
    snprintf(cfg_path, sizeof cfg_path, "%s/n.cfg", folder);
    snprintf(tree_path, sizeof tree_path, "%s/t.tree", folder);
    snprintf(map_path, sizeof map_path, "%s/m.map", folder);
    bool good = write_text(cfg_path, cfg) && write_text(tree_path, "a -1\nb 0\nc 0\n") &&
                write_text(map_path, "1\n2\n") && create(&network) == DN_OK &&
                dn_network_save_weights(network, weights_path, -1) == DN_OK;
    dn_network_free(network);
    FILE *file = good ? fopen(weights_path, "rb") : NULL;
    if (!file) return false;
    weights_length = fread(weights, 1, sizeof weights, file);
    fclose(file);
    return weights_length < sizeof weights;
}

int main(void) {
    for (size_t i = 0; i < sizeof input / sizeof *input; ++i) input[i] = (float)(i * 37 % 101) / 101;
    dn_memory_set(allocate, release, NULL);
    check(make_files(), "files to load", dn_error_message());
    every_allocation("creating a network", try_network);
    every_allocation("reading a cfg file", try_network_file);
    every_allocation("reading a cfg with its mistakes", try_config);
    every_allocation("word trees and class maps", try_tree);
    every_allocation("weights from memory", try_weights_bytes);
    every_allocation("weights to a file and back", try_weights_files);
    every_allocation("predicting and detecting", try_session);
    every_allocation("running layer by layer", try_activate);
    every_allocation("training at two sizes", try_trainer);
    every_allocation("a checkpoint", try_checkpoint);
    measure_trainer();
    remove_files();
    check(rmdir(folder) == 0, "no other file is left", folder);
    dn_memory_set(NULL, NULL, NULL);
    return failures != 0;
}
