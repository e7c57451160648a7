/* config.c - text to sections: the lexical rules of Darknet's cfg files (compat.md 2.1). */
#include "config.h"

#include <string.h>

enum { MOST_SECTIONS = 20000, MOST_ENTRIES = 2000, LONGEST_NAME = 64 };

/* A growable text without white space: the reference removes every blank, also inside values. */
typedef struct line_buffer {
    char *text;
    size_t length, capacity;
} line_buffer;

static dn_status next_line(line_buffer *line, const char **at, const char *end, const char *file,
                           int number) {
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    if (!stop) stop = end;
    size_t most = (size_t)(stop - *at) + 1;
    if (most > line->capacity) {
        dn_free(line->text);
        line->capacity = 0;
        line->text = dn_alloc(most);
        if (!line->text)
            return dn_fail(DN_ERROR_NO_MEMORY, "%s:%d: no memory for a line of %zu bytes", file, number,
                           most);
        line->capacity = most;
    }
    line->length = 0;
    for (const char *p = *at; p < stop; ++p) {
        if (*p == ' ' || *p == '\t' || *p == '\r') continue;
        if (*p == 0)
            return dn_fail(DN_ERROR_CONFIG, "%s:%d: a zero byte: this is a binary file, not a cfg", file,
                           number);
        line->text[line->length++] = *p;
    }
    line->text[line->length] = 0;
    *at = stop < end ? stop + 1 : end;
    return DN_OK;
}

/* Grows an array to hold one more item; capacities are powers of two, so count alone tells when. */
static dn_status grow(void *items, int count, size_t size) {
    if (count > 0 && (count & (count - 1)) != 0) return DN_OK;
    void *old, *larger = dn_alloc_zero(count ? (size_t)count * 2 : 1, size);
    if (!larger) return dn_fail(DN_ERROR_NO_MEMORY, "no memory for the cfg");
    memcpy(&old, items, sizeof old);
    if (count) memcpy(larger, old, (size_t)count * size);
    dn_free(old);
    memcpy(items, &larger, sizeof larger);
    return DN_OK;
}

static dn_status add_section(dn_config *config, line_buffer *line, int number) {
    char *close = strchr(line->text, ']');
    if (!close || close[1] != 0)
        return dn_fail(DN_ERROR_CONFIG, "%s:%d: '%.80s': a section is a name in brackets, alone on its line",
                       config->file, number, line->text);
    if (close - line->text > LONGEST_NAME)
        return dn_fail(DN_ERROR_CONFIG, "%s:%d: '%.40s...': a section's name longer than %d characters",
                       config->file, number, line->text, LONGEST_NAME);
    if (config->count >= MOST_SECTIONS)
        return dn_fail(DN_ERROR_CONFIG, "%s:%d: more than %d sections", config->file, number, MOST_SECTIONS);
    DN_TRY(grow(&config->sections, config->count, sizeof *config->sections));
    dn_section *section = &config->sections[config->count];
    memset(section, 0, sizeof *section);
    section->name = dn_strndup(line->text + 1, (size_t)(close - line->text) - 1);
    if (!section->name) return dn_fail(DN_ERROR_NO_MEMORY, "no memory for the cfg");
    section->line = number;
    section->file = config->file;
    config->count++;
    return DN_OK;
}

static dn_status add_entry(dn_config *config, line_buffer *line, int number) {
    if (config->count == 0)
        return dn_fail(DN_ERROR_CONFIG,
                       "%s:%d: '%.80s' stands before the first section; a cfg starts with [net]",
                       config->file, number, line->text);
    dn_section *section = &config->sections[config->count - 1];
    if (section->count >= MOST_ENTRIES)
        return dn_fail(DN_ERROR_CONFIG, "%s:%d: [%s]: more than %d options", config->file, number,
                       section->name, MOST_ENTRIES);
    char *equals = strchr(line->text, '=');
    if (equals) {
        *equals = 0;
        char *comment = strchr(equals + 1, '#');
        if (comment) {
            *comment = 0;
            dn_log(DN_LOG_WARNING,
                   "%s:%d: [%s] %s: the comment after the value is cut off (other engines keep it)",
                   config->file, number, section->name, line->text);
        }
        if (equals[1] == 0 || line->text[0] == 0) {
            dn_log(DN_LOG_WARNING, "%s:%d: [%s] '%s=%s': a key without a value, or the reverse; ignored",
                   config->file, number, section->name, line->text, equals + 1);
            return DN_OK;
        }
    }
    DN_TRY(grow(&section->entries, section->count, sizeof *section->entries));
    dn_entry *entry = &section->entries[section->count];
    memset(entry, 0, sizeof *entry);
    entry->line = number;
    for (int i = 0; i < section->count; ++i)
        if (strcmp(section->entries[i].key, line->text) == 0)
            entry->duplicate = true; /* the first one wins */
    section->count++;
    entry->key = dn_strdup(line->text);
    entry->value = equals ? dn_strdup(equals + 1) : NULL;
    if (!entry->key || (equals && !entry->value)) {
        /* An entry always has a key, so that freeing and searching need no special case. */
        dn_free(entry->key);
        dn_free(entry->value);
        section->count--;
        return dn_fail(DN_ERROR_NO_MEMORY, "no memory for the cfg");
    }
    return DN_OK;
}

dn_status dn_config_parse(dn_config **out, const char *text, size_t length, const char *file) {
    *out = NULL;
    dn_config *config;
    line_buffer line = {0};
    const char *at = text, *end = text + length;
    DN_TRY(dn_new(&config, 1, sizeof *config, "cfg"));
    dn_status status = DN_OK;
    config->file = dn_strdup(file);
    if (!config->file) DN_TRY_GOTO(dn_fail(DN_ERROR_NO_MEMORY, "no memory for the cfg"));
    if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) at += 3;

    for (int number = 1; at < end; ++number) {
        DN_TRY_GOTO(next_line(&line, &at, end, file, number));
        char first = line.text[0];
        if (first == 0 || first == '#' || first == ';') continue;
        DN_TRY_GOTO(first == '[' ? add_section(config, &line, number) : add_entry(config, &line, number));
    }
    if (config->count == 0)
        DN_TRY_GOTO(dn_fail(DN_ERROR_CONFIG, "%s: no sections: the file is empty or not a cfg", file));
    dn_free(line.text);
    *out = config;
    return DN_OK;

fail:
    dn_free(line.text);
    dn_config_free(config);
    return status;
}

void dn_config_free(dn_config *config) {
    if (!config) return;
    for (int i = 0; i < config->count; ++i) {
        dn_section *section = &config->sections[i];
        for (int k = 0; k < section->count; ++k) {
            dn_free(section->entries[k].key);
            dn_free(section->entries[k].value);
        }
        dn_free(section->entries);
        dn_free(section->name);
    }
    dn_free(config->sections);
    dn_free(config->file);
    dn_free(config);
}
