/* dn.h - the public C interface of the Darknet runtime.
 *
 * Three nouns carry everything:
 *   dn_network  what a .cfg and a .weights file say: layers, shapes, parameters. Read-only once loaded,
 *               so any number of threads may share it.
 *   dn_session  runs a network for one caller and owns every buffer for that. After the first call of a
 *               batch size nothing is allocated. One thread at a time per session; as many sessions as you
 *               like.
 *   dn_trainer  takes a network for its exclusive use and trains it.
 *
 * Conventions. Functions that can fail return dn_status; dn_error_message() then holds one line of text
 * (per thread, valid until the next failing call on that thread). Out-parameters come first. What a
 * dn_x_create or dn_x_load gives belongs to the caller until dn_x_free, which accepts NULL. A returned
 * const pointer is borrowed; its comment names the event that ends it. Functions that return a dn_status
 * refuse NULL for a handle or an array they need; those that only look something up need a live handle.
 * Option structs are set by their dn_x_options_init first. A network outlives its sessions and trainer.
 * The library never prints, exits or aborts. Tensors are float32, planar NCHW, row-major.
 */
#ifndef DN_H
#define DN_H

#include <stddef.h>
#include <stdint.h>

/* The one place the version is written; dn_version() returns it. */
#define DN_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) && !defined(DN_API)
#define DN_API __attribute__((visibility("default")))
#elif !defined(DN_API)
#define DN_API
#endif

/* cffi reads the declarations between the two marks; DN_API is the only macro allowed there. */
/* declarations begin */

typedef enum dn_status {
    DN_OK = 0,
    DN_ERROR_NO_MEMORY = -1,
    DN_ERROR_ARGUMENT = -2,    /* the caller passed something impossible */
    DN_ERROR_CONFIG = -3,      /* the cfg is wrong; message: file:line: [section] key: reason */
    DN_ERROR_WEIGHTS = -4,     /* the weights do not fit; message names the layer, bytes expected and found */
    DN_ERROR_FILE = -5,        /* the operating system refused a file */
    DN_ERROR_IMAGE = -6,       /* an image has an impossible size or value */
    DN_ERROR_DATA = -7,        /* labels, truth, trees, maps, lists */
    DN_ERROR_UNSUPPORTED = -8, /* known, but not in this build */
    DN_ERROR_STATE = -9,       /* right call, wrong moment (parameters set while sessions exist, ...) */
    DN_ERROR_NUMERIC = -10,    /* a loss or a parameter is not finite any more */
    DN_ERROR_INTERNAL = -11    /* a bug of ours */
} dn_status;

typedef enum dn_log_level { DN_LOG_INFO = 1, DN_LOG_WARNING = 2 } dn_log_level;

typedef enum dn_numerics {
    DN_NUMERICS_DEFAULT = 0,     /* batch normalisation divides by sqrt(v + 1e-5) */
    DN_NUMERICS_PJREDDIE_CPU = 1 /* by sqrt(v) + 1e-6, as the reference's CPU build */
} dn_numerics;

typedef enum dn_dialect { DN_DIALECT_PJREDDIE = 0, DN_DIALECT_ALEXEYAB = 1 } dn_dialect;

typedef enum dn_nms_kind { DN_NMS_NONE = 0, DN_NMS_SORT = 1, DN_NMS_OBJ = 2 } dn_nms_kind;

typedef struct dn_config dn_config;
typedef struct dn_network dn_network;
typedef struct dn_session dn_session;
typedef struct dn_trainer dn_trainer;
typedef struct dn_detections dn_detections;
typedef struct dn_tree dn_tree;

typedef void (*dn_log_sink)(int level, const char *message, void *user);

/* ---- library ---------------------------------------------------------------------------------- */

DN_API const char *dn_version(void);
DN_API const char *dn_build_info(void);    /* compiler and flags, one line */
DN_API const char *dn_error_message(void); /* of the last failing call on this thread */
DN_API const char *dn_cpu_level(void); /* "generic", "avx2", "avx512" or "neon"; NULL: DARKNET_CPU is wrong */
DN_API int dn_cpu_count(void);         /* processors this process may use */
/* What the machine can do at most, measured for half a second: float32 operations per second, 2 per
 * multiply-add, from registers to registers; bytes per second read from a large array. threads 0: as many as
 * processors. Takes 256 MiB for a while. */
DN_API dn_status dn_cpu_measure(double *flops, double *bytes, int threads);
DN_API void dn_log_set(dn_log_sink sink, void *user); /* NULL: silent, the default */

/* Replaces malloc and free for everything allocated afterwards. Call before anything else; NULL restores.
 * allocate may return NULL; memory needs no special alignment. */
DN_API void dn_memory_set(void *(*allocate)(size_t size, void *user),
                          void (*release)(void *memory, void *user), void *user);

/* ---- cfg files as text: what their lines say, before a network is made of them ------------------ */

/* Sections and options, with their lines. What is wrong with lines is kept as notes, and reading goes on.
 * Fails only if there are no sections at all, too many, or bytes that are no text. */
DN_API dn_status dn_config_create(dn_config **out, const char *text, size_t length, const char *name);
DN_API void dn_config_free(dn_config *config);
DN_API int dn_config_section_count(const dn_config *config);
/* Name of a section without brackets, and its line; NULL past the end. Borrowed until the config is freed, as
 * what follows. */
DN_API const char *dn_config_section(const dn_config *config, int section, int *line);
/* Key of an option; its value (NULL on a line without '='), line, and whether the key came before, which
 * counts. NULL past the end. */
DN_API const char *dn_config_option(const dn_config *config, int section, int option, const char **value,
                                    int *line, int *duplicate);
/* What is wrong with a line, and whether no network can be made because of it. NULL past the end. */
DN_API const char *dn_config_note(const dn_config *config, int note, int *line, int *error);

/* ---- network ---------------------------------------------------------------------------------- */

typedef enum dn_memory {
    DN_MEMORY_FAST, /* whatever makes plans faster */
    DN_MEMORY_LEAN  /* weights are kept once: Winograd only where its weights are small */
} dn_memory;

typedef struct dn_network_options {
    size_t struct_size;    /* sizeof(dn_network_options), set by dn_network_options_init */
    int width, height;     /* 0: as the cfg says */
    int batch;             /* images per forward pass when training; 0: batch / subdivisions of the cfg */
    int time_steps;        /* steps of a sequence for recurrent layers; 0: as the cfg says */
    int threads;           /* 0: one per processor */
    int numerics;          /* dn_numerics */
    int dialect;           /* dn_dialect: order of parameters in .weights files */
    int strict;            /* unused keys are errors, not warnings */
    int exact;             /* no algorithms that round differently (Winograd), in plans and training */
    int memory;            /* dn_memory: what plans spend it on */
    int blank;             /* parameters a weights file replaces start as 0: quick, before reading one */
    uint64_t seed;         /* of the initial parameters */
    uint64_t memory_limit; /* most bytes of parameters or of activations; 0: 16 GiB */
    const char *name;      /* what messages call the cfg; files it names are also looked for beside it */
} dn_network_options;

DN_API void dn_network_options_init(dn_network_options *options);
/* From a cfg file, or its text. options NULL: the defaults. Parameters are random until weights are read. */
DN_API dn_status dn_network_load(dn_network **out, const char *cfg_path, const dn_network_options *options);
DN_API dn_status dn_network_create(dn_network **out, const char *cfg_text, size_t length,
                                   const dn_network_options *options);
DN_API void dn_network_free(dn_network *network);

/* start, cutoff: load layers start..cutoff-1 (cutoff < 0: all), reading on from the header as the reference
 * does. partial: a file that ends at a layer boundary, or goes on after the last layer, is accepted. */
DN_API dn_status dn_network_load_weights(dn_network *network, const char *path, int start, int cutoff,
                                         int partial);
DN_API dn_status dn_network_load_weights_bytes(dn_network *network, const void *bytes, size_t length,
                                               const char *name, int start, int cutoff, int partial);
/* Version (three numbers), images seen, and length of the header of a .weights file that begins with `bytes`;
 * transposed: old layout of connected layers. Fails for what is no weights file. */
DN_API dn_status dn_weights_header(const void *bytes, size_t length, const char *name, int version[3],
                                   uint64_t *seen, int *transposed, size_t *header_bytes);
/* cutoff: only layers 0..cutoff-1 (cutoff < 0: all). The file is written whole or not at all. */
DN_API dn_status dn_network_save_weights(const dn_network *network, const char *path, int cutoff);
DN_API uint64_t dn_network_weights_bytes(const dn_network *network); /* length of the file it writes */

DN_API int dn_network_layer_count(const dn_network *network);
DN_API int dn_network_batch(const dn_network *network);        /* images per training pass */
DN_API int dn_network_numerics(const dn_network *network);     /* dn_numerics */
DN_API int dn_network_time_steps(const dn_network *network);   /* of a sequence, in recurrent networks */
DN_API int dn_network_subdivisions(const dn_network *network); /* passes before each update in training */
DN_API int dn_network_threads(const dn_network *network);      /* of sessions and trainers created with 0 */
DN_API int dn_network_max_batches(const dn_network *network);  /* updates in a whole training */
/* shape: {c, h, w}; a network fed with vectors has h = w = 0 and c = inputs. */
DN_API void dn_network_input_shape(const dn_network *network, int shape[3]);
/* Images it was trained on: part of .weights files, and what the learning rate follows. */
DN_API uint64_t dn_network_seen(const dn_network *network);
DN_API void dn_network_set_seen(dn_network *network, uint64_t seen);
/* Number of output layers, and their indices: all detection heads; if there are none, the last layer that is
 * not a cost. */
DN_API int dn_network_outputs(const dn_network *network, const int **indices);
/* Value of a [net] option as text, as a cfg says it (NULL if absent). Borrowed until the network is freed. */
DN_API const char *dn_network_option(const dn_network *network, const char *key);
/* The same for layer i's section. */
DN_API const char *dn_layer_option(const dn_network *network, int layer, const char *key);
/* The same as a number, read as all numbers of a cfg are: what the text begins with, and a warning if there
 * is more to it, or no number; fallback if the key is absent. */
DN_API double dn_network_number(const dn_network *network, const char *key, double fallback);
DN_API double dn_layer_number(const dn_network *network, int layer, const char *key, double fallback);

DN_API const char *dn_layer_type_name(const dn_network *network, int layer);
/* shape: {c, h, w}, or {outputs, 0, 0} for layers whose output is a vector. */
DN_API void dn_layer_shape(const dn_network *network, int layer, int shape[3]);
DN_API size_t dn_layer_outputs(const dn_network *network, int layer); /* floats per image */
DN_API size_t dn_layer_truths(const dn_network *network, int layer);  /* truth floats per image; 0: no loss */
DN_API double dn_layer_flops(const dn_network *network, int layer);   /* 2 per multiply-add, one image */
DN_API int dn_layer_param_count(const dn_network *network, int layer);
/* dims: up to 5, unused ones 0; returns the name. */
DN_API const char *dn_layer_param(const dn_network *network, int layer, int param, int dims[5],
                                  size_t *count);
/* All values of a parameter, copied; count must be that of dn_layer_param. Setting fails while the network
 * has sessions. */
DN_API dn_status dn_layer_param_get(const dn_network *network, int layer, int param, float *values,
                                    size_t count);
DN_API dn_status dn_layer_param_set(dn_network *network, int layer, int param, const float *values,
                                    size_t count);
/* The word tree of a layer, copied: dn_tree_free frees it. *out is NULL if the layer has none. */
DN_API dn_status dn_layer_word_tree(dn_tree **out, const dn_network *network, int layer);
/* The classes a head learns instead of the labels', borrowed; NULL and *count 0 if it has no `map`. */
DN_API const int *dn_layer_class_map(const dn_network *network, int layer, int *count);
/* Settings of a detection head: 1 and the numbers, or 0 if layer is none. classes: that it tells apart;
 * max_truths: rows of its truth; truth_values: floats of a row (dn_augment_detection, dn_augment_grid). */
DN_API int dn_layer_is_head(const dn_network *network, int layer, int *classes, int *max_truths,
                            int *truth_values);
/* All known layer types and the keys each understands, for tools: type i (NULL past the end), key k (NULL
 * past the end); type -1 is [net], type -2 the keys that every layer has. default_text: default as a cfg
 * would say it. */
DN_API const char *dn_registry_type(int type, const char **aliases);
DN_API const char *dn_registry_summary(int type); /* what the layer does, in a few words */
DN_API const char *dn_registry_activation(int i); /* names of activation functions; NULL past the end */
DN_API const char *dn_registry_key(int type, int key, const char **default_text, const char **meaning);

/* ---- running ---------------------------------------------------------------------------------- */

/* threads 0: as the network. */
DN_API dn_status dn_session_create(dn_session **out, dn_network *network, int threads);
DN_API void dn_session_free(dn_session *session);
/* Fused, planned inference. input: batch images, each of the network's input shape. The outputs stay until
 * the next call on this session. */
DN_API dn_status dn_session_predict(dn_session *session, const float *input, int batch);
/* Output k of the last predict: batch * count floats (count per image). Borrowed until the next call. */
DN_API const float *dn_session_output(const dn_session *session, int k, size_t *count);
/* Layer by layer, unfused, test mode: what the plan is checked against. truth may be NULL; otherwise
 * truths floats per image. */
DN_API dn_status dn_session_activate(dn_session *session, const float *input, int batch, const float *truth,
                                     size_t truths);
/* Output of a layer in the last activate: batch * count floats. Borrowed until the next call. */
DN_API const float *dn_session_layer_output(const dn_session *session, int layer, size_t *count);
/* Of the last activate with truth; 0 for layers without a loss. */
DN_API float dn_session_layer_cost(const dn_session *session, int layer);
DN_API void dn_session_reset(dn_session *session); /* recurrent state to zero */
/* Bytes of buffers this session owns, and of packed weights it shares. */
DN_API void dn_session_memory(const dn_session *session, size_t *own, size_t *shared);

/* Bytes that predictions of so many images will have in memory: known before anything is packed or computed.
 * Parameters count as if they were read from a file, unless they were given otherwise. */
typedef struct dn_footprint {
    size_t struct_size; /* sizeof(dn_footprint), set by the caller */
    size_t weights;     /* parameters that stay beside the packed ones */
    size_t packed;      /* weights of convolutions, in the form that their algorithms want */
    size_t plain;       /* those weights as they are: what packed is more buys time */
    size_t activations; /* the arena, and states of recurrent layers */
    size_t scratch;     /* of the steps of the plan */
    size_t outputs;
    size_t packing; /* besides weights and packed, only while the plan is made */
    size_t peak;    /* the most of all that at the same time */
} dn_footprint;

DN_API dn_status dn_session_footprint(dn_footprint *out, dn_session *session, int batch);
/* One line per step of the plan: operation, algorithm, shape. Borrowed until the session's next call; NULL
 * past the end. */
DN_API const char *dn_session_plan_line(dn_session *session, int step);

/* What a step of a plan does for one image. */
typedef struct dn_plan_step {
    size_t struct_size; /* sizeof(dn_plan_step), set by the caller */
    int layer;          /* whose output it computes; -1 past the end of the plan */
    int conv; /* the convolution it runs, an earlier layer if an addition or a pool is part of it; -1: none */
    const char *algorithm;   /* of a convolution; else the layer's type, "copy" or "clear". Never freed */
    double flops;            /* 2 per multiply-add, counted as direct convolution */
    double weight_bytes;     /* of parameters, as packed */
    double plain_bytes;      /* of parameters, as the network has them */
    double activation_bytes; /* read and written */
    double seconds; /* of all images since dn_session_profile switched on; else 0. A step computed together
                       with the next takes none, and does and moves nothing: the next one does */
} dn_plan_step;

DN_API dn_status dn_session_plan_step(dn_plan_step *out, dn_session *session, int step);
/* From now on predict takes the time of each step, from 0; or no longer does. Off in a new session. */
DN_API dn_status dn_session_profile(dn_session *session, int on);
/* From now on predict keeps a copy of what each step gave, of the last image, for looking into a plan; or no
 * longer does. Off in a new session. */
DN_API dn_status dn_session_keep_steps(dn_session *session, int on);
/* The output of a step's layer; NULL where nothing was kept, as of steps that only copy or are computed
 * together with the next. Borrowed until the session's next call. */
DN_API const float *dn_session_step_output(const dn_session *session, int step, size_t *count);

/* ---- detection -------------------------------------------------------------------------------- */

typedef struct dn_detect_options {
    size_t struct_size;            /* sizeof(dn_detect_options), set by dn_detect_options_init */
    float thresh;                  /* objectness and class probability must be above this; default .5 */
    float hier;                    /* threshold of hierarchical prediction; default .5 */
    float nms;                     /* IoU above which boxes suppress each other; default .45 */
    int nms_kind;                  /* dn_nms_kind; default sort (per class) */
    int image_width, image_height; /* of the original image */
    int letterbox;                 /* the network saw the image letterboxed; boxes are mapped back */
    int relative;                  /* boxes relative to the image (0..1) instead of in its pixels */
    int image;                     /* which image of the batch */
    const int *map;                /* class map for tree heads, or NULL */
    int map_count;
    int hier_paper; /* descend by the paper's rule: dn_tree_top_paper instead of dn_tree_top */
    int mirrored;   /* the next image of the batch is this one mirrored: the heads' outputs are averaged */
} dn_detect_options;

DN_API void dn_detect_options_init(dn_detect_options *options);
/* Boxes of the last predict. options NULL: the defaults, in pixels of the network's input. Fails for networks
 * without a detection head. */
DN_API dn_status dn_session_detect(dn_detections **out, dn_session *session,
                                   const dn_detect_options *options);
DN_API void dn_detections_free(dn_detections *detections);
DN_API int dn_detections_count(const dn_detections *detections);
DN_API int dn_detections_classes(const dn_detections *detections);
DN_API const float *dn_detections_boxes(const dn_detections *detections); /* [count][4]: centre x, y, w, h */
DN_API const float *dn_detections_objectness(const dn_detections *detections);    /* [count] */
DN_API const float *dn_detections_probabilities(const dn_detections *detections); /* [count][classes] */

/* ---- training --------------------------------------------------------------------------------- */

typedef struct dn_trainer_options {
    size_t struct_size; /* sizeof(dn_trainer_options), set by dn_trainer_options_init */
    int threads;        /* 0: as the network */
    int input_delta;    /* also compute the gradient with respect to the input */
    uint64_t seed;      /* of dropout and augmentation */
} dn_trainer_options;

DN_API void dn_trainer_options_init(dn_trainer_options *options);
/* options NULL: the defaults. Fails while the network has another trainer. */
DN_API dn_status dn_trainer_create(dn_trainer **out, dn_network *network, const dn_trainer_options *options);
DN_API void dn_trainer_free(dn_trainer *trainer);
/* What a trainer of the network would take besides the parameters, in bytes: fixed (gradients, moments), and
 * for passes of so many images. Nothing of it is allocated. threads 0: as the network. */
DN_API dn_status dn_trainer_bytes(dn_network *network, int images, int threads, uint64_t *fixed,
                                  uint64_t *pass);
/* One forward and backward pass in training mode; gradients accumulate. input: dn_network_batch images.
 * truth: truths floats per image, or NULL. cost: mean over the layers that have one. */
DN_API dn_status dn_trainer_backward(dn_trainer *trainer, const float *input, const float *truth,
                                     size_t truths, float *cost);
/* The forward pass alone, in training mode; the images do not count as seen. input and truth must live until
 * a dn_trainer_backward_from that follows has returned. */
DN_API dn_status dn_trainer_forward(dn_trainer *trainer, const float *input, const float *truth,
                                    size_t truths, float *cost);
/* Applies what has accumulated, by the cfg's optimiser at the present learning rate. */
DN_API dn_status dn_trainer_update(dn_trainer *trainer);
/* backward, then update after every `subdivisions`-th call (*updated says whether). A gradient that is not
 * finite is DN_ERROR_NUMERIC, and nothing is updated. */
DN_API dn_status dn_trainer_step(dn_trainer *trainer, const float *input, const float *truth, size_t truths,
                                 float *cost, int *updated);
DN_API uint64_t dn_trainer_iteration(const dn_trainer *trainer); /* floor(seen / (batch * subdivisions)) */
DN_API float dn_trainer_rate(const dn_trainer *trainer);         /* learning rate now */
DN_API float dn_trainer_rate_at(const dn_trainer *trainer, int64_t iteration);
/* Multi-scale training: passes from here on take images of another size. Parameters stay. */
DN_API dn_status dn_trainer_resize(dn_trainer *trainer, int width, int height);
/* Recurrent state of a stream to zero; stream -1: of all. Streams: dn_network_batch / time_steps. */
DN_API void dn_trainer_reset(dn_trainer *trainer, int stream);
/* Borrowed until the trainer's next call. layer -1: the network's input (delta only with input_delta). */
DN_API const float *dn_trainer_output(const dn_trainer *trainer, int layer, size_t *count);
DN_API const float *dn_trainer_delta(const dn_trainer *trainer, int layer, size_t *count);
/* Of the last pass; 0 for layers without a loss. */
DN_API float dn_trainer_layer_cost(const dn_trainer *trainer, int layer);
/* Accumulated negative gradient of a parameter, shaped like it. */
DN_API const float *dn_trainer_gradient(const dn_trainer *trainer, int layer, int param, size_t *count);
/* A backward pass from `layer` down, with this delta of its output (batch * outputs floats) and no other,
 * after the last forward pass. Gradients accumulate. */
DN_API dn_status dn_trainer_backward_from(dn_trainer *trainer, int layer, const float *delta);
/* All gradients as one array, for reduction across machines. Borrowed until the trainer is freed. */
DN_API float *dn_trainer_gradients(dn_trainer *trainer, size_t *count);
DN_API dn_network *dn_trainer_network(const dn_trainer *trainer);
/* One line of numbers about the last pass of head `layer`, as the reference prints it; "" for other layers.
 */
DN_API const char *dn_trainer_head_line(const dn_trainer *trainer, int layer);
/* mark keeps a copy of parameters, gradients and recurrent state; back returns to it, so that a batch that
 * was not finite leaves no trace. Images, passes and updates stay counted. */
DN_API dn_status dn_trainer_mark(dn_trainer *trainer);
DN_API dn_status dn_trainer_back(dn_trainer *trainer);
/* Bytes of the caller's that go into checkpoints and come back with them; a copy. Borrowed until the next. */
DN_API dn_status dn_trainer_set_note(dn_trainer *trainer, const char *bytes, size_t length);
DN_API const char *dn_trainer_note(const dn_trainer *trainer, size_t *length);
/* Everything (cfg, options, parameters, optimiser, counters, note), bit for bit; written whole or not at all.
 */
DN_API dn_status dn_trainer_save(const dn_trainer *trainer, const char *path);
/* The trainer of such a file, with a network of its own that is freed with it. threads 0: one per processor.
 */
DN_API dn_status dn_trainer_load(dn_trainer **out, const char *path, int threads);

/* ---- images: planar float arrays [c][h][w], values 0..1 ----------------------------------------- */

/* Interleaved bytes [h][w][channels] to planar floats; bgr swaps the first and third channel. */
DN_API dn_status dn_image_from_bytes(float *out, const uint8_t *bytes, int w, int h, int channels, int bgr);
DN_API dn_status dn_image_to_bytes(uint8_t *out, const float *image, int w, int h, int channels);
/* Bilinear, aligned corners (the reference's resize). */
DN_API dn_status dn_image_resize(float *out, int out_w, int out_h, const float *image, int w, int h, int c);
/* Resized to fit, centred on grey (.5). */
DN_API dn_status dn_image_letterbox(float *out, int out_w, int out_h, const float *image, int w, int h,
                                    int c);
/* Window at (dx, dy); outside, the edge is repeated. */
DN_API dn_status dn_image_crop(float *out, int out_w, int out_h, int dx, int dy, const float *image, int w,
                               int h, int c);
/* Window of the image turned by radians and scaled by scale, x once more by 1 / aspect, about its centre; the
 * window's centre is moved by (dx, dy) of its pixels. Bilinear; 0 outside. */
DN_API dn_status dn_image_rotate_crop(float *out, int out_w, int out_h, float radians, float scale, float dx,
                                      float dy, float aspect, const float *image, int w, int h, int c);
/* In place, as what follows. Mirrored left to right. */
DN_API dn_status dn_image_flip(float *image, int w, int h, int c);
/* Three channels: hue, saturation and value, each 0..1. */
DN_API dn_status dn_image_rgb_to_hsv(float *image, int w, int h);
DN_API dn_status dn_image_hsv_to_rgb(float *image, int w, int h);
/* Adds to the hue (1: all the way round), multiplies saturation and value; three channels, clipped to 0..1.
 */
DN_API dn_status dn_image_distort(float *image, int w, int h, float hue, float saturation, float exposure);
/* Draws the image, scaled to w x h, on the canvas at (dx, dy). */
DN_API dn_status dn_image_place(float *canvas, int canvas_w, int canvas_h, int w, int h, int dx, int dy,
                                const float *image, int image_w, int image_h, int c);

/* How much augmentation may change, as the keys of [net] of the same names say. */
typedef struct dn_augment_options {
    size_t struct_size;         /* sizeof(dn_augment_options), set by dn_augment_options_init */
    float jitter;               /* of a side's length, 0 to less than 1; default .2 */
    float hue;                  /* added or subtracted at most; default 0 */
    float saturation, exposure; /* largest factor, or its inverse; default 1 */
    int flip;                   /* half of the images are mirrored; default 1 */
    float angle, aspect;        /* classification only: degrees, largest factor; defaults 0 and 1 */
    int min_size, max_size; /* classification only: shorter side after scaling; 0: the longer one of out */
} dn_augment_options;

DN_API void dn_augment_options_init(dn_augment_options *options);
/* Detection augmentation of the reference (jitter, placement on grey, flip, colour), of three channels.
 * Random numbers depend on (seed, step, sample) only. boxes: [count][5] of class, centre x, y, w, h relative
 * to the image. truth: max_truths rows of `values` floats (x, y, w, h, class, 0...). */
DN_API dn_status dn_augment_detection(float *out, int out_w, int out_h, float *truth, int max_truths,
                                      int values, const float *image, int w, int h, const float *boxes,
                                      int count, const dn_augment_options *options, uint64_t seed,
                                      uint64_t step, uint64_t sample);
/* The same for [detection], the head of YOLOv1: the image is cropped with jitter (outside, the edge is
 * repeated) and stretched. truth: side * side rows of 1 + classes + 4 floats: whether the cell has an object,
 * its one-hot class, x and y within the cell, w and h relative to the image. */
DN_API dn_status dn_augment_grid(float *out, int out_w, int out_h, float *truth, int side, int classes,
                                 const float *image, int w, int h, const float *boxes, int count,
                                 const dn_augment_options *options, uint64_t seed, uint64_t step,
                                 uint64_t sample);
/* The same for classifiers: scaled, turned, a random window, flip, colour. */
DN_API dn_status dn_augment_classification(float *out, int out_w, int out_h, const float *image, int w, int h,
                                           int c, const dn_augment_options *options, uint64_t seed,
                                           uint64_t step, uint64_t sample);

/* ---- boxes: centre x, y, w, h ------------------------------------------------------------------- */

DN_API float dn_box_iou(const float a[4], const float b[4]);
/* kind: "iou", "giou", "diou", "ciou". */
DN_API float dn_box_iou_kind(const float a[4], const float b[4], const char *kind);
/* In place on [count] boxes, objectness and [count][classes] probabilities; order[count] receives the
 * original index of each entry of the (re-ordered) arrays. */
DN_API dn_status dn_boxes_nms(float *boxes, float *objectness, float *probabilities, int count, int classes,
                              float thresh, int kind, int *order);
/* Undoes the letterbox: boxes relative to the network become relative to, or pixels of, the image. */
DN_API void dn_boxes_correct(float *boxes, int count, int image_w, int image_h, int net_w, int net_h,
                             int relative);
/* Average precision of one class. scores, matches (1: true positive) sorted by the caller in any order;
 * truths: number of ground truths. points: 0 area under the interpolated curve, 11 or 101 sampled recalls. */
DN_API dn_status dn_average_precision(double *out, const float *scores, const uint8_t *matches, int count,
                                      int truths, int points);

/* ---- word tree ---------------------------------------------------------------------------------- */

/* A file with a node per line: its name, and the number of the parent's line, -1 for roots. Siblings stand
 * together: a group. */
DN_API dn_status dn_tree_load(dn_tree **out, const char *path);
DN_API void dn_tree_free(dn_tree *tree);
DN_API int dn_tree_size(const dn_tree *tree); /* nodes */
DN_API int dn_tree_groups(const dn_tree *tree);
DN_API const char *dn_tree_name(const dn_tree *tree, int node);
DN_API const int *dn_tree_parents(const dn_tree *tree);     /* [size], -1 for roots */
DN_API const int *dn_tree_children(const dn_tree *tree);    /* [size], group of the children, -1 for leaves */
DN_API const int *dn_tree_node_groups(const dn_tree *tree); /* [size], group a node is in */
DN_API const int *dn_tree_group_offsets(const dn_tree *tree); /* [groups] */
DN_API const int *dn_tree_group_sizes(const dn_tree *tree);   /* [groups] */
/* In place: conditional to absolute probabilities; stride between nodes in floats. */
DN_API void dn_tree_absolute(const dn_tree *tree, float *values, int stride, int only_leaves);
/* The absolute probability of one node. */
DN_API float dn_tree_probability(const dn_tree *tree, const float *conditional, int stride, int node);
/* The node where a descent from the first group ends: the likeliest child at every split, as long as its
 * probability is above thresh. The paper's rule compares absolute probabilities; the reference's
 * (dn_tree_top) multiplies those of the path once more. -1 without a tree. */
DN_API int dn_tree_top(const dn_tree *tree, const float *absolute, int stride, float thresh);
DN_API int dn_tree_top_paper(const dn_tree *tree, const float *absolute, int stride, float thresh);
/* A file of node numbers, one per line, all below nodes (0: any); dn_map_free frees it. */
DN_API dn_status dn_map_load(int **out, int *count, const char *path, int nodes);
DN_API void dn_map_free(int *map);

/* declarations end */

#ifdef __cplusplus
}
#endif
#endif
