/* fields: see fields.h. */
#include "admin/fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "admin/text.h"

static bool refuse(struct call *call, const struct field *field, const char *allowed)
{
    call_fail(call, 422, "bad_value", "%s: allowed is %s", field->name, allowed);
    return false;
}

static bool take_text(struct call *call, const struct field *field, const json_t *value, void *member)
{
    const char *text = json_string_value(value);
    char allowed[80];
    (void)snprintf(allowed, sizeof allowed, "text of at most %zu bytes without control characters", field->size - 1);
    if (text == NULL || strlen(text) >= field->size || !text_is_plain(text))
        return refuse(call, field, allowed);
    memcpy(member, text, strlen(text) + 1);
    return true;
}

static bool take_number(struct call *call, const struct field *field, const json_t *value, void *member)
{
    char allowed[96];
    (void)snprintf(allowed, sizeof allowed, "a whole number from %" PRIu64 " to %" PRIu64, field->least, field->most);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return refuse(call, field, allowed);
    uint64_t number = (uint64_t)json_integer_value(value);
    if (number < field->least || number > field->most)
        return refuse(call, field, allowed);
    if (field->size == sizeof(uint32_t)) {
        uint32_t narrow = (uint32_t)number;
        memcpy(member, &narrow, sizeof narrow);
    } else {
        memcpy(member, &number, sizeof number);
    }
    return true;
}

static bool take_number_or_null(struct call *call, const struct field *field, const json_t *value, void *member)
{
    int64_t number = 0;
    if (!json_is_null(value)) {
        number = json_integer_value(value);
        if (!json_is_integer(value) || number < 1)
            return refuse(call, field, "a whole number above 0, or null");
    }
    memcpy(member, &number, sizeof number);
    return true;
}

static bool take_field(struct call *call, const struct field *field, const json_t *value, void *member)
{
    switch (field->kind) {
    case FIELD_TEXT:
        return take_text(call, field, value, member);
    case FIELD_BOOLEAN:
        if (!json_is_boolean(value))
            return refuse(call, field, "true or false");
        *(bool *)member = json_is_true(value);
        return true;
    case FIELD_NUMBER:
        return take_number(call, field, value, member);
    case FIELD_NUMBER_OR_NULL:
        return take_number_or_null(call, field, value, member);
    case FIELD_CUSTOM: {
        const char *allowed = field->take(value, member, field->size);
        return allowed == NULL || refuse(call, field, allowed);
    }
    case FIELD_FIXED:
        break;
    }
    call_fail(call, 422, "bad_value", "%s: is the tracker's own, and not to be set here", field->name);
    return false;
}

bool fields_read(struct call *call, const struct field *fields, void *target, unsigned *present)
{
    const char *name;
    json_t *value;
    *present = 0;
    json_object_foreach (call->json, name, value) {
        const struct field *field = fields;
        while (field->name != NULL && strcmp(field->name, name) != 0)
            field++;
        if (field->name == NULL) {
            call_fail(call, 422, "unknown_field", "%.100s: there is no such field here", name);
            return false;
        }
        if (!take_field(call, field, value, (char *)target + field->offset))
            return false;
        *present |= field->bit;
    }
    return true;
}
