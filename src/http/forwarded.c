/* forwarded: see forwarded.h. */
#include "http/forwarded.h"

#include <string.h>

bool networks_contain(const struct network *networks, size_t count, const struct address *address)
{
    for (size_t i = 0; i < count; i++) {
        if (network_contains(&networks[i], address))
            return true;
    }
    return false;
}

/* An address alone, in brackets, or with a port, which does not count. */
static bool parse_entry(struct address *address, const char *text, size_t length)
{
    bool good;
    if (text[0] == '[' && text[length - 1] == ']')
        good = memchr(text, ':', length) != NULL && address_parse_ip(address, text + 1, length - 2);
    else
        good = address_parse_ip(address, text, length) || address_parse(address, text, length);
    address->port = 0;
    return good;
}

void forwarded_fold(struct address *found, const char *value, size_t length, const struct network *trusted,
                    size_t trusted_count)
{
    const char *end = value + length;
    while (value < end) {
        const char *comma = memchr(value, ',', (size_t)(end - value));
        const char *stop = comma != NULL ? comma : end;
        const char *last = stop;
        while (value < last && (*value == ' ' || *value == '\t'))
            value++;
        while (value < last && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        struct address address = {0};
        if (value < last) {
            if (!parse_entry(&address, value, (size_t)(last - value)))
                *found = (struct address){0};
            else if (!networks_contain(trusted, trusted_count, &address))
                *found = address;
        }
        value = comma != NULL ? comma + 1 : end;
    }
}
