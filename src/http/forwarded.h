/*
 * forwarded: whose request it is where a proxy stands between: the header that
 * `real_ip_header` names, and the networks that are believed.
 */
#ifndef PRIVTRAK_HTTP_FORWARDED_H
#define PRIVTRAK_HTTP_FORWARDED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"

bool networks_contain(const struct network *networks, size_t count, const struct address *address);

/*
 * Folds one line of the header into `found`, which begins with family 0. All
 * lines make one list, of which the last address that is no trusted proxy
 * counts, and an entry that is no address ends the search from the right.
 * Going from the left, that is: a trusted proxy changes nothing, any other
 * address is the new find, and what is no address drops it. So no line needs
 * to be remembered, however many there are.
 */
void forwarded_fold(struct address *found, const char *value, size_t length, const struct network *trusted,
                    size_t trusted_count);

#endif
