/* status.c - the error message of each thread, and the log. Never allocates, so running out of memory can be
 * told. */
#include "base.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[DN_MESSAGE_SIZE];

const char *dn_error_message(void) {
    return message;
}

dn_status dn_fail(dn_status status, const char *format, ...) {
    char text[DN_MESSAGE_SIZE]; /* arguments may point into message */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    memcpy(message, text, sizeof message);
    return status;
}

dn_status dn_fail_context(dn_status status, const char *format, ...) {
    char text[DN_MESSAGE_SIZE], joined[2 * DN_MESSAGE_SIZE + 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(joined, sizeof joined, "%s: %s", text, message);
    joined[DN_MESSAGE_SIZE - 1] = 0;
    memcpy(message, joined, sizeof message);
    return status;
}

static _Atomic(dn_log_sink) log_sink;
static _Atomic(void *) log_user;

void dn_log_set(dn_log_sink sink, void *user) {
    atomic_store(&log_user, user);
    atomic_store(&log_sink, sink);
}

void dn_log(int level, const char *format, ...) {
    dn_log_sink sink = atomic_load(&log_sink);
    if (!sink) return;
    char text[DN_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    sink(level, text, atomic_load(&log_user));
}
