/* options.c - typed values of a section's keys (compat.md 2.2, 2.3), their errors, and hints for unknown
 * keys. */
#include "config.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static dn_entry *find(const dn_section *section, const char *key) {
    for (int i = 0; i < section->count; ++i)
        if (section->entries[i].value && strcmp(section->entries[i].key, key) == 0)
            return &section->entries[i];
    return NULL;
}

static const dn_key *find_key(const dn_key *keys, const char *name) {
    for (; keys && keys->name; ++keys)
        if (strcmp(keys->name, name) == 0) return keys;
    return NULL;
}

static const dn_key *declared(const dn_section *section, const char *name) {
    const dn_key *key = find_key(section->keys, name);
    return key ? key : find_key(section->more_keys, name);
}

dn_status dn_option_error(const dn_section *section, const char *key, const char *format, ...) {
    char text[DN_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const dn_entry *entry = key ? find(section, key) : NULL;
    return dn_fail(DN_ERROR_CONFIG, "%s:%d: [%s]%s%s: %s", section->file, entry ? entry->line : section->line,
                   section->name, key ? " " : "", key ? key : "", text);
}

bool dn_option_has(const dn_section *section, const char *key) {
    return find(section, key) != NULL;
}

const char *dn_option_raw(const dn_section *section, const char *key) {
    const dn_entry *entry = find(section, key);
    return entry ? entry->value : NULL;
}

/* The text of a key: its value, else the declared default. Undeclared keys are a bug of the reader's. */
static dn_status lookup(const char **out, dn_section *section, const char *key) {
    const dn_key *known = declared(section, key);
    if (!known)
        return dn_fail(DN_ERROR_INTERNAL, "[%s] reads the key '%s' but does not declare it", section->name,
                       key);
    dn_entry *entry = find(section, key);
    if (entry) entry->used = true;
    *out = entry ? entry->value : known->fallback;
    return DN_OK;
}

const char *dn_option_text(dn_section *section, const char *key) {
    const char *text;
    return lookup(&text, section, key) == DN_OK ? text : NULL;
}

/* Says what text was read as, if there is more to it than the number that ends at `end`. */
static void mention_rest(const dn_section *section, const char *key, const char *text, const char *end,
                         double value) {
    const dn_entry *entry = find(section, key);
    int line = entry ? entry->line : section->line;
    const char *number_end;
    (void)dn_parse_float(text, &number_end);
    if (number_end == text)
        dn_log(DN_LOG_WARNING, "%s:%d: [%s] %s: '%.80s' is not a number, read as 0", section->file, line,
               section->name, key, text);
    else if (*end)
        dn_log(DN_LOG_WARNING, "%s:%d: [%s] %s: '%.80s' is read as %g", section->file, line, section->name,
               key, text, value);
}

static dn_status to_int(int *out, const dn_section *section, const char *key, const char *text, int low,
                        int high) {
    const char *end;
    long value = dn_parse_int(text, &end);
    const char *rest = end + strspn(end, ".0"); /* 1.0 is 1 */
    if (*rest || end == text) mention_rest(section, key, text, end, (double)value);
    if (value < low && high == INT_MAX)
        return dn_option_error(section, key, "must be %d or more, not %ld", low, value);
    if (value < low || value > high)
        return dn_option_error(section, key, "must be %d to %d, not %ld", low, high, value);
    *out = (int)value;
    return DN_OK;
}

static dn_status to_float(float *out, const dn_section *section, const char *key, const char *text, float low,
                          float high) {
    const char *end;
    double value = dn_parse_float(text, &end);
    mention_rest(section, key, text, end, value);
    if (!(value >= low && value <= high) || !isfinite((float)value))
        return dn_option_error(section, key, "must be %g to %g, not %s", (double)low, (double)high, text);
    *out = (float)value;
    return DN_OK;
}

dn_status dn_option_int(int *out, dn_section *section, const char *key, int low, int high) {
    const char *text;
    DN_TRY(lookup(&text, section, key));
    if (!text) return dn_option_error(section, key, "is required");
    return to_int(out, section, key, text, low, high);
}

dn_status dn_option_int_or(int *out, dn_section *section, const char *key, int fallback, int low, int high) {
    const char *text;
    DN_TRY(lookup(&text, section, key));
    *out = fallback;
    return text ? to_int(out, section, key, text, low, high) : DN_OK;
}

dn_status dn_option_flag(bool *out, dn_section *section, const char *key) {
    int value = 0;
    DN_TRY(dn_option_int(&value, section, key, INT_MIN, INT_MAX));
    *out = value != 0;
    return DN_OK;
}

dn_status dn_option_float(float *out, dn_section *section, const char *key, float low, float high) {
    const char *text;
    DN_TRY(lookup(&text, section, key));
    if (!text) return dn_option_error(section, key, "is required");
    return to_float(out, section, key, text, low, high);
}

double dn_option_number(const dn_section *section, const char *key, double fallback) {
    const dn_entry *entry = find(section, key);
    if (!entry) return fallback;
    const char *end;
    double value = dn_parse_float(entry->value, &end);
    mention_rest(section, key, entry->value, end, value);
    return value;
}

dn_status dn_option_float_or(float *out, dn_section *section, const char *key, float fallback, float low,
                             float high) {
    const char *text;
    DN_TRY(lookup(&text, section, key));
    *out = fallback;
    return text ? to_float(out, section, key, text, low, high) : DN_OK;
}

/* Number of items of a comma-separated list: commas + 1. */
static dn_status list_count(int *out, const dn_section *section, const char *key, const char *text) {
    enum { MOST = 1 << 16 };
    *out = 1;
    for (; *text; ++text) *out += *text == ',';
    return *out <= MOST
               ? DN_OK
               : dn_option_error(section, key, "a list of %d items; at most %d are read", *out, MOST);
}

/* The text of a list and how many items it has; absent: NULL and 0. */
static dn_status list_begin(const char **text, int *items, dn_section *section, const char *key) {
    *items = 0;
    DN_TRY(lookup(text, section, key));
    return *text ? list_count(items, section, key, *text) : DN_OK;
}

static const char *list_next(const char *text) {
    const char *comma = strchr(text, ',');
    return comma ? comma + 1 : text + strlen(text);
}

dn_status dn_option_ints(int **out, int *count, dn_section *section, const char *key) {
    const char *text;
    int items;
    *out = NULL;
    *count = 0;
    DN_TRY(list_begin(&text, &items, section, key));
    if (!text) return DN_OK;
    DN_TRY(dn_new(out, (size_t)items, sizeof **out, key));
    for (int i = 0; i < items; ++i, text = list_next(text)) {
        long value = dn_parse_int(text, NULL);
        (*out)[i] = (int)(value < INT_MIN ? INT_MIN : value > INT_MAX ? INT_MAX : value);
    }
    *count = items;
    return DN_OK;
}

dn_status dn_option_floats(float **out, int *count, dn_section *section, const char *key) {
    const char *text;
    int items;
    *out = NULL;
    *count = 0;
    DN_TRY(list_begin(&text, &items, section, key));
    if (!text) return DN_OK;
    DN_TRY(dn_new(out, (size_t)items, sizeof **out, key));
    for (int i = 0; i < items; ++i, text = list_next(text)) {
        (*out)[i] = (float)dn_parse_float(text, NULL);
        if (!isfinite((*out)[i])) {
            dn_free(*out);
            *out = NULL;
            return dn_option_error(section, key, "item %d is not a finite number", i + 1);
        }
    }
    *count = items;
    return DN_OK;
}

int dn_text_distance(const char *a, const char *b) {
    enum { MOST = 40 };
    size_t la = strlen(a), lb = strlen(b);
    if (la > MOST || lb > MOST) return MOST;
    int row[MOST + 1];
    for (size_t j = 0; j <= lb; ++j) row[j] = (int)j;
    for (size_t i = 1; i <= la; ++i) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= lb; ++j) {
            int above = row[j];
            int best = diagonal + (a[i - 1] != b[j - 1]);
            best = dn_min_int(best, dn_min_int(above, row[j - 1]) + 1);
            diagonal = above;
            row[j] = best;
        }
    }
    return row[lb];
}

static const char *nearest(const dn_section *section, const char *name) {
    const char *best = NULL;
    int distance = dn_max_int(2, (int)strlen(name) / 3) + 1;
    const dn_key *tables[2] = {section->keys, section->more_keys};
    for (int t = 0; t < 2; ++t)
        for (const dn_key *key = tables[t]; key && key->name; ++key) {
            int d = dn_text_distance(name, key->name);
            if (d < distance) {
                distance = d;
                best = key->name;
            }
        }
    return best;
}

dn_status dn_section_check_unused(const dn_section *section, bool strict) {
    for (int i = 0; i < section->count; ++i) {
        const dn_entry *entry = &section->entries[i];
        if (entry->used) continue;
        char reason[256];
        const char *hint = nearest(section, entry->key);
        if (entry->duplicate)
            snprintf(reason, sizeof reason, "given twice; the first one counts");
        else if (!entry->value)
            snprintf(reason, sizeof reason, "no '=' on this line; ignored");
        else if (declared(section, entry->key))
            snprintf(reason, sizeof reason, "has no effect with this section's other options");
        else if (hint)
            snprintf(reason, sizeof reason, "unknown key, did you mean '%s'?", hint);
        else
            snprintf(reason, sizeof reason, "unknown key, ignored");
        if (strict)
            return dn_fail(DN_ERROR_CONFIG, "%s:%d: [%s] %s: %s", section->file, entry->line, section->name,
                           entry->key, reason);
        dn_log(DN_LOG_WARNING, "%s:%d: [%s] %s: %s", section->file, entry->line, section->name, entry->key,
               reason);
    }
    return DN_OK;
}
