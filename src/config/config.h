/* config.h - cfg text to sections, and sections to typed options. Every value remembers its line; every key
 * is declared with its default in one table, so errors, hints and documentation agree. Knows nothing of
 * networks. */
#ifndef DN_CONFIG_H
#define DN_CONFIG_H

#include "../base/base.h"

/* A key a section understands. fallback: the default as a cfg would say it; NULL: none, or computed. */
typedef struct dn_key {
    const char *name, *fallback, *meaning;
} dn_key;

typedef struct dn_entry {
    char *key, *value; /* value is NULL for a line without '=' */
    int line;
    bool used, duplicate;
} dn_entry;

typedef struct dn_section {
    char *name; /* without brackets */
    int line;
    int count;
    dn_entry *entries;
    const char *file;        /* borrowed from the config */
    const dn_key *keys;      /* what this section understands, ended by a NULL name; set by the reader */
    const dn_key *more_keys; /* further keys (those every layer has), or NULL */
} dn_section;

/* Something wrong with a line, kept for who asked for all of them (dn_config_create). */
typedef struct dn_note {
    char *text;
    int line;
    bool error; /* no network can be made of this */
} dn_note;

struct dn_config {
    char *file; /* as messages name it */
    int count;
    dn_section *sections;
    bool keeps_notes;
    int note_count;
    dn_note *notes;
};

/* Grammar: compat.md section 2. Sections appear in file order; at least one. Fails at the first error and
 * logs warnings; dn_config_create keeps them instead. */
dn_status dn_config_parse(dn_config **out, const char *text, size_t length, const char *file);

/* Fails with `file:line: [section] key: message`. key may be NULL. */
dn_status dn_option_error(const dn_section *section, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

bool dn_option_has(const dn_section *section, const char *key); /* does not mark it used */
const char *dn_option_raw(const dn_section *section,
                          const char *key); /* value or NULL; does not mark it used */

/* Typed values, marked used. Bounds are inclusive; outside them is an error that names the value. */
dn_status dn_option_int(int *out, dn_section *section, const char *key, int low, int high);
dn_status dn_option_int_or(int *out, dn_section *section, const char *key, int fallback, int low, int high);
dn_status dn_option_flag(bool *out, dn_section *section, const char *key); /* non-zero integer */
double dn_option_number(const dn_section *section, const char *key,
                        double fallback); /* as above; no limits */
dn_status dn_option_float(float *out, dn_section *section, const char *key, float low, float high);
dn_status dn_option_float_or(float *out, dn_section *section, const char *key, float fallback, float low,
                             float high);
const char *dn_option_text(dn_section *section, const char *key); /* value, default, or NULL */
/* Comma-separated lists; *out belongs to the caller (dn_free). Absent: *count 0, *out NULL. */
dn_status dn_option_ints(int **out, int *count, dn_section *section, const char *key);
dn_status dn_option_floats(float **out, int *count, dn_section *section, const char *key);

/* Reports every entry nobody asked for, with the nearest known key: warnings, or in strict mode an error. */
dn_status dn_section_check_unused(const dn_section *section, bool strict);
/* Edit distance between two names, for hints. */
int dn_text_distance(const char *a, const char *b);

#endif
