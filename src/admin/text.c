/* text: see text.h. */
#include "admin/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The length of the UTF-8 character at `text`, 1 to 4; 0 where there is none. */
static size_t character_length(const unsigned char *text)
{
    static const struct {
        uint8_t first, last; /* of the first byte */
        uint8_t second_least, second_most;
        uint8_t length;
    } forms[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    if (text[0] < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (text[0] < forms[i].first || text[0] > forms[i].last)
            continue;
        if (text[1] < forms[i].second_least || text[1] > forms[i].second_most)
            return 0;
        for (size_t j = 2; j < forms[i].length; j++) {
            if (text[j] < 0x80 || text[j] > 0xbf)
                return 0;
        }
        return forms[i].length;
    }
    return 0;
}

bool text_is_plain(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    while (*c != '\0') {
        size_t length = character_length(c);
        if (length == 0 || *c < 0x20 || *c == 0x7f)
            return false;
        if (c[0] == 0xc2 && c[1] < 0xa0)
            return false;
        c += length;
    }
    return true;
}

json_t *text_json(const char *text)
{
    json_t *string = json_string(text);
    if (string != NULL)
        return string;
    char *mended = malloc(3 * strlen(text) + 1);
    if (mended == NULL)
        return NULL;
    size_t written = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0';) {
        size_t length = character_length(c);
        memcpy(mended + written, length > 0 ? (const char *)c : "\xef\xbf\xbd", length > 0 ? length : 3);
        written += length > 0 ? length : 3;
        c += length > 0 ? length : 1;
    }
    mended[written] = '\0';
    string = json_string(mended);
    free(mended);
    return string;
}
