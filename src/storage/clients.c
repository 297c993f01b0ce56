/* clients: see clients.h. A set is a sorted array, longest prefixes first, replaced whole by RCU. */
#define URCU_INLINE_SMALL_FUNCTIONS
#include "storage/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <urcu.h>

struct rule_set {
    struct rcu_head rcu;
    size_t count;
    struct client_rule rules[];
};

struct clients {
    struct rule_set *set;
};

struct clients *clients_new(void)
{
    struct clients *clients = calloc(1, sizeof *clients);
    if (clients == NULL)
        return NULL;
    clients->set = calloc(1, sizeof *clients->set);
    if (clients->set == NULL) {
        free(clients);
        return NULL;
    }
    return clients;
}

void clients_free(struct clients *clients)
{
    if (clients == NULL)
        return;
    rcu_barrier();
    free(clients->set);
    free(clients);
}

static void free_set(struct rcu_head *head)
{
    free(caa_container_of(head, struct rule_set, rcu));
}

static int longer_first(const void *a, const void *b)
{
    const struct client_rule *one = a, *other = b;
    return other->length - one->length;
}

int clients_replace(struct clients *clients, const struct client_rule *rules, size_t count)
{
    struct rule_set *set = calloc(1, sizeof *set + count * sizeof set->rules[0]);
    if (set == NULL)
        return -ENOMEM;
    set->count = count;
    if (count > 0) {
        memcpy(set->rules, rules, count * sizeof set->rules[0]);
        qsort(set->rules, count, sizeof set->rules[0], longer_first);
    }
    struct rule_set *old = __atomic_exchange_n(&clients->set, set, __ATOMIC_ACQ_REL);
    call_rcu(&old->rcu, free_set);
    return 0;
}

const struct client_rule *clients_match(struct clients *clients, const uint8_t *peer_id)
{
    const struct rule_set *set = __atomic_load_n(&clients->set, __ATOMIC_ACQUIRE);
    for (size_t i = 0; i < set->count; i++)
        if (memcmp(set->rules[i].prefix, peer_id, set->rules[i].length) == 0)
            return &set->rules[i];
    return NULL;
}
