/* config.c - text to sections: the lexical rules of Darknet's cfg files (compat.md 2.1). */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MOST_SECTIONS = 20000, MOST_ENTRIES = 2000, LONGEST_NAME = 64, MOST_NOTES = 1000 };

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

static dn_status add_note(dn_config *config, bool error, int number, const char *text) {
    if (config->note_count >= MOST_NOTES) return DN_OK;
    DN_TRY(grow(&config->notes, config->note_count, sizeof *config->notes));
    dn_note *note = &config->notes[config->note_count];
    *note = (dn_note){dn_strdup(text), number, error};
    if (!note->text) return dn_fail(DN_ERROR_NO_MEMORY, "no memory for the cfg");
    config->note_count++;
    return DN_OK;
}

/* Something is wrong with a line. An error ends the reading, unless notes are kept. */
__attribute__((format(printf, 4, 5))) static dn_status report(dn_config *config, bool error, int number,
                                                              const char *format, ...) {
    char text[DN_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (config->keeps_notes) return add_note(config, error, number, text);
    if (error) return dn_fail(DN_ERROR_CONFIG, "%s:%d: %s", config->file, number, text);
    dn_log(DN_LOG_WARNING, "%s:%d: %s", config->file, number, text);
    return DN_OK;
}

static dn_status add_section(dn_config *config, line_buffer *line, int number) {
    char *close = strchr(line->text, ']');
    if (!close || close[1] != 0)
        DN_TRY(report(config, true, number, "'%.80s': a section is a name in brackets, alone on its line",
                      line->text));
    if (!close) close = line->text + line->length;
    if (close - line->text > LONGEST_NAME) {
        DN_TRY(report(config, true, number, "'%.40s...': a section's name longer than %d characters",
                      line->text, LONGEST_NAME));
        close = line->text + LONGEST_NAME;
    }
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
    if (config->count == 0) /* said once: everything in a file that is no cfg stands there */
        return config->note_count
                   ? DN_OK
                   : report(config, true, number,
                            "'%.80s' stands before the first section; a cfg starts with [net]", line->text);
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
            DN_TRY(report(config, false, number,
                          "[%.64s] %.80s: the comment after the value is cut off (other engines keep it)",
                          section->name, line->text));
        }
        if (equals[1] == 0 || line->text[0] == 0)
            return report(config, false, number,
                          "[%.64s] '%.80s=%.80s': a key without a value, or the reverse; ignored",
                          section->name, line->text, equals + 1);
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

static dn_status parse(dn_config **out, const char *text, size_t length, const char *file, bool keep_notes) {
    *out = NULL;
    dn_config *config;
    line_buffer line = {0};
    const char *at = text, *end = text + length;
    DN_TRY(dn_new(&config, 1, sizeof *config, "cfg"));
    dn_status status = DN_OK;
    config->keeps_notes = keep_notes;
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

dn_status dn_config_parse(dn_config **out, const char *text, size_t length, const char *file) {
    return parse(out, text, length, file, false);
}

dn_status dn_config_create(dn_config **out, const char *text, size_t length, const char *name) {
    if (!out || !text)
        return dn_fail(DN_ERROR_ARGUMENT, "dn_config_create needs a place for the sections and a cfg");
    return parse(out, text, length, name ? name : "cfg", true);
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
    for (int i = 0; i < config->note_count; ++i) dn_free(config->notes[i].text);
    dn_free(config->notes);
    dn_free(config->sections);
    dn_free(config->file);
    dn_free(config);
}

int dn_config_section_count(const dn_config *config) {
    return config->count;
}

static const dn_section *section_at(const dn_config *config, int section) {
    return section >= 0 && section < config->count ? &config->sections[section] : NULL;
}

const char *dn_config_section(const dn_config *config, int section, int *line) {
    const dn_section *found = section_at(config, section);
    if (!found) return NULL;
    if (line) *line = found->line;
    return found->name;
}

const char *dn_config_option(const dn_config *config, int section, int option, const char **value, int *line,
                             int *duplicate) {
    const dn_section *found = section_at(config, section);
    if (!found || option < 0 || option >= found->count) return NULL;
    const dn_entry *entry = &found->entries[option];
    if (value) *value = entry->value;
    if (line) *line = entry->line;
    if (duplicate) *duplicate = entry->duplicate;
    return entry->key;
}

const char *dn_config_note(const dn_config *config, int note, int *line, int *error) {
    if (note < 0 || note >= config->note_count) return NULL;
    if (line) *line = config->notes[note].line;
    if (error) *error = config->notes[note].error;
    return config->notes[note].text;
}
