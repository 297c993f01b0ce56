/* api: calls of the tracker's API and what is around them; see ctl.h. */
#include <ctype.h>
#include <err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/output.h"

/* One line whatever is in it: a reason may quote what somebody else wrote. */
__attribute__((format(printf, 1, 0))) static void complain_list(const char *format, va_list arguments)
{
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0)
        return;
    char *line = printable(text);
    (void)fprintf(stderr, "privtrakctl: %s\n", line);
    free(line);
    free(text);
}

void complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain_list(format, arguments);
    va_end(arguments);
}

enum exit_code fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain_list(format, arguments);
    va_end(arguments);
    return EXIT_FAILED;
}

enum exit_code fail_usage(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain_list(format, arguments);
    va_end(arguments);
    return EXIT_USAGE;
}

char *form(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        errx(EXIT_FAILED, "out of memory");
    va_end(arguments);
    return text;
}

char *encode(const char *text)
{
    char *encoded = malloc(3 * strlen(text) + 1);
    size_t length = 0;
    if (encoded == NULL)
        errx(EXIT_FAILED, "out of memory");
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c < 0x80 && (isalnum(*c) || strchr("-_.~", *c) != NULL))
            encoded[length++] = (char)*c;
        else
            length += (size_t)sprintf(encoded + length, "%%%02X", *c);
    }
    encoded[length] = '\0';
    return encoded;
}

void print_json(const json_t *answer)
{
    (void)json_dumpf(answer, stdout, JSON_INDENT(2));
    (void)putchar('\n');
}

static json_t *read_answer(long status, const char *text)
{
    json_error_t error;
    if (status == 204)
        return json_object();
    json_t *answer = json_loads(text, 0, &error);
    if (answer == NULL) {
        complain("the tracker's answer (status %ld) is no JSON", status);
        return NULL;
    }
    if (status >= 200 && status < 300)
        return answer;
    const char *message = json_string_value(json_object_get(json_object_get(answer, "error"), "message"));
    if (message != NULL)
        complain("%s", message);
    else
        complain("refused with status %ld", status);
    json_decref(answer);
    return NULL;
}

json_t *call_api(struct ctl *ctl, const char *method, const char *path, json_t *body)
{
    struct error error = {""};
    long status = 0;
    char *answer_text = NULL;
    char *body_text = NULL;
    if (body != NULL) {
        body_text = json_dumps(body, JSON_COMPACT);
        json_decref(body);
        if (body_text == NULL) {
            complain("the values cannot be sent: they are no UTF-8");
            return NULL;
        }
    }
    int result = client_call(ctl->client, method, path, body_text, &status, &answer_text, &error);
    free(body_text);
    if (result != 0) {
        complain("%s", error.text);
        return NULL;
    }
    json_t *answer = read_answer(status, answer_text);
    free(answer_text);
    return answer;
}

json_t *call_list(struct ctl *ctl, const char *path, const char *query, const char *name)
{
    json_t *all = json_array();
    char *after = strdup("");
    for (;;) {
        const char *and = query[0] != '\0' ? "&" : "";
        char *page = form("%s?limit=1000%s%s%s%s", path, and, query, after[0] != '\0' ? "&after=" : "", after);
        json_t *answer = call_api(ctl, "GET", page, NULL);
        free(page);
        free(after);
        if (answer == NULL) {
            json_decref(all);
            return NULL;
        }
        (void)json_array_extend(all, json_object_get(answer, name));
        const json_t *next = json_object_get(answer, "next");
        after = NULL;
        if (json_is_integer(next))
            after = form("%lld", (long long)json_integer_value(next));
        else if (json_is_string(next))
            after = encode(json_string_value(next));
        json_decref(answer);
        if (after == NULL)
            return json_pack("{s:o, s:n}", name, all, "next");
    }
}

/* Numbers, true, false and null are told as such, but for fields that hold text. */
static json_t *field_value(const char *name, const char *value)
{
    static const char *const texts[] = {"name", "passkey", "reason", "state", "info_hash"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(name, texts[i]) == 0)
            return json_string(value);
    }
    json_t *literal = json_loads(value, JSON_DECODE_ANY, NULL);
    if (literal != NULL && !json_is_object(literal) && !json_is_array(literal))
        return literal;
    json_decref(literal);
    return json_string(value);
}

bool read_fields(json_t *object, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        if (equals == NULL || equals == argv[i]) {
            complain("found \"%s\", allowed is FIELD=VALUE", argv[i]);
            return false;
        }
        char *name = strndup(argv[i], (size_t)(equals - argv[i]));
        bool is_new = name != NULL && json_object_get(object, name) == NULL;
        if (!is_new)
            complain("%s is given twice", name != NULL ? name : "a field");
        else if (json_object_set_new(object, name, field_value(name, equals + 1)) != 0)
            complain("%s: the value is no UTF-8", name);
        bool is_set = is_new && json_object_get(object, name) != NULL;
        free(name);
        if (!is_set)
            return false;
    }
    return true;
}
