/* detect.c - finds objects in a binary PPM picture (P6, as `convert photo.jpg photo.ppm` writes) with the C
 * library.
 *
 *   cc -O2 examples/detect.c -o detect $(pkg-config --cflags --libs dn)
 *   ./detect cfg/synth.cfg weights/synth.weights picture.ppm
 */
#include <dn.h>

#include <stdio.h>
#include <stdlib.h>

/* Reads the picture; NULL if it is none. */
static uint8_t *read_ppm(const char *path, int *w, int *h) {
    FILE *file = fopen(path, "rb");
    uint8_t *pixels = NULL;
    int most;
    if (file && fscanf(file, "P6 %d %d %d", w, h, &most) == 3 && most == 255 && *w > 0 && *h > 0 &&
        *w < 1 << 14 && *h < 1 << 14 && fgetc(file) != EOF) {
        size_t bytes = (size_t)*w * (size_t)*h * 3;
        pixels = malloc(bytes);
        if (pixels && fread(pixels, 1, bytes, file) != bytes) {
            free(pixels);
            pixels = NULL;
        }
    }
    if (file) fclose(file);
    return pixels;
}

static int takes_pictures(const dn_network *network) {
    int shape[3];
    dn_network_input_shape(network, shape);
    return shape[0] == 3 && shape[1] > 0;
}

/* Runs the network on the picture and prints one line per detection. */
static dn_status detect(dn_session *session, const dn_network *network, const uint8_t *pixels, int w, int h) {
    int shape[3]; /* channels, height, width */
    dn_network_input_shape(network, shape);
    float *image = malloc(sizeof(float) * 3 * (size_t)w * (size_t)h);
    float *input = malloc(sizeof(float) * 3 * (size_t)shape[1] * (size_t)shape[2]);
    dn_detections *found = NULL;
    dn_detect_options options;
    dn_detect_options_init(&options);
    options.image_width = w;
    options.image_height = h;
    options.letterbox = 1;

    dn_status status = image && input ? DN_OK : DN_ERROR_NO_MEMORY;
    if (status == DN_OK) status = dn_image_from_bytes(image, pixels, w, h, 3, 0);
    if (status == DN_OK) status = dn_image_letterbox(input, shape[2], shape[1], image, w, h, 3);
    if (status == DN_OK) status = dn_session_predict(session, input, 1);
    if (status == DN_OK) status = dn_session_detect(&found, session, &options);
    for (int i = 0; status == DN_OK && i < dn_detections_count(found); ++i) {
        const float *box = dn_detections_boxes(found) + 4 * i;
        const float *p =
            dn_detections_probabilities(found) + (size_t)i * (size_t)dn_detections_classes(found);
        for (int c = 0; c < dn_detections_classes(found); ++c)
            if (p[c] > options.thresh)
                printf("class %d: %.0f%% at %.0f,%.0f, %.0f x %.0f pixels\n", c, p[c] * 100,
                       box[0] - box[2] / 2, box[1] - box[3] / 2, box[2], box[3]);
    }
    dn_detections_free(found);
    free(input);
    free(image);
    return status;
}

int main(int argc, char **argv) {
    dn_network *network = NULL;
    dn_session *session = NULL;
    const char *problem = NULL;
    int w, h;
    if (argc != 4) {
        fprintf(stderr, "usage: %s CFG WEIGHTS PICTURE.ppm\n", argv[0]);
        return 2;
    }
    uint8_t *pixels = read_ppm(argv[3], &w, &h);
    if (!pixels) {
        fprintf(stderr, "%s: not a binary PPM picture\n", argv[3]);
        return 1;
    }
    dn_status status = dn_network_load(&network, argv[1], NULL);
    if (status == DN_OK && !takes_pictures(network)) {
        problem = "the network does not take pictures of 3 channels";
        status = DN_ERROR_ARGUMENT;
    }
    if (status == DN_OK) status = dn_network_load_weights(network, argv[2], 0, -1, 0);
    if (status == DN_OK) status = dn_session_create(&session, network, 0);
    if (status == DN_OK) status = detect(session, network, pixels, w, h);
    if (status != DN_OK) fprintf(stderr, "%s\n", problem ? problem : dn_error_message());
    dn_session_free(session);
    dn_network_free(network);
    free(pixels);
    return status == DN_OK ? 0 : 1;
}
