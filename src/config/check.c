/* check: keys that contradict each other; see reading.h. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/reading.h"
#include "config/values.h"

/*
 * The keys of one rule. The first is the one that the message names; where only
 * another is written, that one's line is told.
 */
struct rule {
    const char *keys[3];
};

enum { AMOUNT_BYTES = 48 };

static bool trusted(const struct reading *reading, const struct rule *rule)
{
    for (size_t i = 0; i < 3 && rule->keys[i] != NULL; i++) {
        if (reading->distrusted[schema_find(rule->keys[i]) - schema])
            return false;
    }
    return true;
}

static uint32_t line_of(const struct config *config, const struct rule *rule)
{
    for (size_t i = 0; i < 3 && rule->keys[i] != NULL; i++) {
        if (config_wrote(config, rule->keys[i]))
            return config_line(config, rule->keys[i]);
    }
    return 1;
}

static void contradict(struct reading *reading, const struct rule *rule, const char *found, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void contradict(struct reading *reading, const struct rule *rule, const char *found, const char *format, ...)
{
    char allowed[300];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(allowed, sizeof allowed, format, arguments);
    va_end(arguments);
    bool say_so = !config_wrote(reading->config, rule->keys[0]) && strcmp(found, "nothing") != 0;
    const char *by_default = say_so ? " (the default)" : "";
    faults_add(&reading->faults, line_of(reading->config, rule), rule->keys[0], "found %s%s, allowed %s", found,
               by_default, allowed);
}

/* In minutes where that is whole: most intervals are written so. */
static const char *seconds(char text[static AMOUNT_BYTES], uint32_t value)
{
    bool minutes = value >= 60 && value % 60 == 0;
    (void)snprintf(text, AMOUNT_BYTES, "%" PRIu32 "%s", minutes ? value / 60 : value, minutes ? "m" : "s");
    return text;
}

static const char *number(char text[static AMOUNT_BYTES], uint32_t value)
{
    (void)snprintf(text, AMOUNT_BYTES, "%" PRIu32, value);
    return text;
}

static void check_intervals(struct reading *reading)
{
    static const struct rule lifetime = {
        {"tracker.peer_lifetime", "tracker.announce_interval", "tracker.announce_jitter"}};
    static const struct rule gap = {
        {"middleware.privtrak.seed_time_gap", "tracker.announce_interval", "tracker.announce_jitter"}};
    static const struct rule minimum = {{"tracker.min_announce_interval", "tracker.announce_interval"}};
    static const struct rule tombstone = {{"tracker.tombstone_lifetime", "tracker.peer_lifetime"}};
    const struct config_tracker *tracker = &reading->config->tracker;
    uint32_t longest = tracker->announce_interval_s + tracker->announce_jitter_s;
    uint32_t seed_time_gap = reading->config->middleware.seed_time_gap_s;
    char found[AMOUNT_BYTES];
    char limit[AMOUNT_BYTES];
    if (trusted(reading, &lifetime) && tracker->peer_lifetime_s <= longest)
        contradict(reading, &lifetime, seconds(found, tracker->peer_lifetime_s),
                   "more than tracker.announce_interval + tracker.announce_jitter, which is %s",
                   seconds(limit, longest));
    if (trusted(reading, &gap) && seed_time_gap < longest)
        contradict(reading, &gap, seconds(found, seed_time_gap),
                   "at least tracker.announce_interval + tracker.announce_jitter, which is %s",
                   seconds(limit, longest));
    if (trusted(reading, &minimum) && tracker->min_announce_interval_s > tracker->announce_interval_s)
        contradict(reading, &minimum, seconds(found, tracker->min_announce_interval_s),
                   "at most tracker.announce_interval, which is %s", seconds(limit, tracker->announce_interval_s));
    if (trusted(reading, &tombstone) && tracker->tombstone_lifetime_s < tracker->peer_lifetime_s)
        contradict(reading, &tombstone, seconds(found, tracker->tombstone_lifetime_s),
                   "at least tracker.peer_lifetime, which is %s", seconds(limit, tracker->peer_lifetime_s));
}

static void check_numwant(struct reading *reading)
{
    static const struct rule rule = {{"tracker.default_numwant", "tracker.max_numwant"}};
    const struct config_tracker *tracker = &reading->config->tracker;
    char found[AMOUNT_BYTES];
    if (trusted(reading, &rule) && tracker->default_numwant > tracker->max_numwant)
        contradict(reading, &rule, number(found, tracker->default_numwant),
                   "at most tracker.max_numwant, which is %" PRIu32, tracker->max_numwant);
}

static void check_http(struct reading *reading)
{
    static const struct rule certificate = {{"http.tls.certificate", "http.tls.listen"}};
    static const struct rule key = {{"http.tls.key", "http.tls.listen"}};
    static const struct rule proxy = {{"http.proxy_protocol", "http.trusted_proxies"}};
    const struct config_http *http = &reading->config->http;
    if (trusted(reading, &certificate) && http->tls_listen.count > 0 && http->tls_certificate[0] == '\0')
        contradict(reading, &certificate, "nothing", "a file: http.tls.listen needs it");
    if (trusted(reading, &key) && http->tls_listen.count > 0 && http->tls_key[0] == '\0')
        contradict(reading, &key, "nothing", "a file: http.tls.listen needs it");
    if (trusted(reading, &proxy) && http->proxy_protocol && http->trusted_proxy_count == 0)
        contradict(reading, &proxy, "true", "only with http.trusted_proxies, which is empty");
}

/* With SO_REUSEPORT the kernel would let two of our listeners share a port, and deal connections to either. */
static void check_listeners(struct reading *reading, const struct rule *rule, const struct listen_list *list,
                            const struct listen_list *other)
{
    for (size_t i = 0; trusted(reading, rule) && i < list->count; i++) {
        const struct address *address = &list->addresses[i];
        for (size_t j = 0; j < other->count; j++) {
            if (address->port == 0 || address->port != other->addresses[j].port ||
                !address_same_ip(address, &other->addresses[j]))
                continue;
            char text[ADDRESS_TEXT_BYTES];
            contradict(reading, rule, address_format(address, text), "an address that %s has not", rule->keys[1]);
            return;
        }
    }
}

static void check_privileges(struct reading *reading)
{
    static const struct rule rule = {{"privileges.chroot", "privileges.user"}};
    const struct config_privileges *privileges = &reading->config->privileges;
    if (trusted(reading, &rule) && privileges->chroot &&
        (privileges->user[0] == '\0' || strcmp(privileges->user, "root") == 0))
        contradict(reading, &rule, "true", "only with a privileges.user other than root, who finds the way out");
}

void reading_check(struct reading *reading)
{
    static const struct rule tls = {{"http.tls.listen", "http.listen"}};
    static const struct rule admin = {{"admin.listen", "http.listen"}};
    static const struct rule admin_tls = {{"admin.listen", "http.tls.listen"}};
    const struct config *config = reading->config;
    check_intervals(reading);
    check_numwant(reading);
    check_http(reading);
    check_privileges(reading);
    check_listeners(reading, &tls, &config->http.tls_listen, &config->http.listen);
    check_listeners(reading, &admin, &config->admin.listen, &config->http.listen);
    check_listeners(reading, &admin_tls, &config->admin.listen, &config->http.tls_listen);
}
