/* faults: see faults.h. */
#include "config/faults.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fault {
    uint32_t line;
    size_t number; /* keeps the order of faults on one line */
    char *text;
};

/* `text` with \xNN for every byte that a terminal would not show; NULL where memory is out. */
static char *visible(const char *text)
{
    char *copy = malloc(4 * strlen(text) + 1);
    char *to = copy;
    if (copy == NULL)
        return NULL;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < ' ' || c == 0x7f)
            to += sprintf(to, "\\x%02x", c);
        else
            *to++ = *text;
    }
    *to = '\0';
    return copy;
}

static char *compose(const struct faults *faults, uint32_t line, const char *key, const char *text)
{
    char *whole = NULL;
    const char *separator = key == NULL ? "" : ": ";
    if (asprintf(&whole, "%s:%u: %s%s%s", faults->file, line, key == NULL ? "" : key, separator, text) < 0)
        return NULL;
    char *shown = visible(whole);
    free(whole);
    return shown;
}

void faults_add(struct faults *faults, uint32_t line, const char *key, const char *format, ...)
{
    if (faults->count == faults->room) {
        size_t room = faults->room == 0 ? 16 : 2 * faults->room;
        struct fault *list = realloc(faults->list, room * sizeof *list);
        if (list == NULL) {
            faults->out_of_memory = true;
            return;
        }
        faults->list = list;
        faults->room = room;
    }
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0) {
        faults->out_of_memory = true;
        return;
    }
    struct fault fault = {.line = line == 0 ? 1 : line, .number = faults->count};
    fault.text = compose(faults, fault.line, key, text);
    free(text);
    if (fault.text == NULL) {
        faults->out_of_memory = true;
        return;
    }
    faults->list[faults->count++] = fault;
}

static int compare(const void *left, const void *right)
{
    const struct fault *a = left;
    const struct fault *b = right;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return a->number < b->number ? -1 : 1;
}

size_t faults_tell(struct faults *faults, config_fault_fn *tell, void *context)
{
    size_t count = faults->count;
    if (count > 0)
        qsort(faults->list, count, sizeof *faults->list, compare);
    for (size_t i = 0; i < count; i++) {
        tell(context, faults->list[i].text);
        free(faults->list[i].text);
    }
    free(faults->list);
    faults->list = NULL;
    faults->count = faults->room = 0;
    if (faults->out_of_memory) {
        tell(context, "out of memory while the configuration was read");
        count++;
    }
    return count;
}
