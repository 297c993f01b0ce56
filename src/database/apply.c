/*
 * apply: the sink's side. What a batch changes and the number of its last delta are
 * one transaction, so that asking for the number tells for certain what has
 * been applied. The number stands in table `privtrak` under `applied.<instance>`.
 */
#include <inttypes.h>
#include <stdio.h>

#include "database/backend.h"

enum { KEY_BYTES = 80, INSTANCE_MAX = 64 };

static enum database_result make_key(char key[static KEY_BYTES], const char *instance, struct error *error)
{
    size_t length = strlen(instance);
    if (length < 1 || length > INSTANCE_MAX ||
        strspn(instance, "0123456789abcdefghijklmnopqrstuvwxyz"
                         "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != length)
        return database_fail(DATABASE_INVALID, error, "instance is not 1 to %d letters and digits", INSTANCE_MAX);
    snprintf(key, KEY_BYTES, "applied.%s", instance);
    return DATABASE_OK;
}

static int take_seq(void *context, const struct sql_value *columns)
{
    *(uint64_t *)context = (uint64_t)sql_as_integer(&columns[0]);
    return 0;
}

/*
 * Behind a lock: a connection that broke in its commit may still be at work at the far end, and until
 * it has ended nobody knows the number.
 */
static enum database_result read_applied(struct database *database, const char *key, uint64_t *seq, struct error *error)
{
    *seq = 0;
    enum database_result result = database_lock(database, key, error);
    if (result != DATABASE_OK)
        return result;
    struct sql_value values[] = {sql_text(key)};
    struct sql_query query = {.text = "SELECT value FROM privtrak WHERE \"key\" = $1",
                              .values = values,
                              .value_count = 1,
                              .row = take_seq,
                              .context = seq};
    return database_step(database, &query, error);
}

static enum database_result write_applied(struct database *database, const char *key, uint64_t seq, struct error *error)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, seq);
    return database_set_key(database, key, text, error);
}

enum database_result database_applied(struct database *database, const char *instance, uint64_t *seq,
                                      struct error *error)
{
    char key[KEY_BYTES];
    enum database_result result = make_key(key, instance, error);
    if (result == DATABASE_OK)
        result = database_begin(database, SQL_ASK, error);
    return result == DATABASE_OK ? database_end(database, read_applied(database, key, seq, error), error) : result;
}

static enum database_result write_merged(struct database *database, const struct database_batch *given, size_t first,
                                         struct error *error)
{
    struct batch *batch = &database->batch;
    batch->include_address = given->include_address;
    if (batch_begin(batch, given->deltas + first, given->count - first) != 0)
        return database_fail(DATABASE_UNAVAILABLE, error, "out of memory");
    enum database_result result = database->backend->resolve(database->state, batch, error);
    if (result != DATABASE_OK)
        return result;
    if (batch_merge(batch, error) != 0)
        return DATABASE_INVALID;
    return database->backend->write(database->state, batch, error);
}

static enum database_result apply_within(struct database *database, const char *key, const struct database_batch *given,
                                         struct error *error)
{
    uint64_t applied;
    enum database_result result = read_applied(database, key, &applied, error);
    size_t first = 0;
    while (first < given->count && given->deltas[first].seq <= applied)
        first++;
    if (result != DATABASE_OK || first == given->count)
        return result;
    result = write_merged(database, given, first, error);
    if (result == DATABASE_OK)
        result = write_applied(database, key, given->deltas[given->count - 1].seq, error);
    /* In a batch a key that is there already is as wrong as any other value. */
    return result == DATABASE_CONFLICT ? DATABASE_INVALID : result;
}

enum database_result database_apply(struct database *database, const struct database_batch *batch, struct error *error)
{
    char key[KEY_BYTES];
    enum database_result result = make_key(key, batch->instance, error);
    if (result == DATABASE_OK)
        result = database_begin(database, SQL_WRITE, error);
    if (result != DATABASE_OK)
        return result;
    return database_end(database, apply_within(database, key, batch, error), error);
}

static enum database_result park_within(struct database *database, const char *key, const struct database_batch *batch,
                                        const char *reason, struct error *error)
{
    const struct delta *delta = &batch->deltas[0];
    uint64_t applied;
    enum database_result result = read_applied(database, key, &applied, error);
    if (result != DATABASE_OK || delta->seq <= applied)
        return result;
    char record[DELTA_JSON_BYTES];
    delta_json(delta, batch->include_address, record, sizeof(record));
    struct sql_value values[] = {sql_integer((int64_t)delta->seq), sql_text(reason), sql_text(record)};
    struct sql_query query = {.text = "INSERT INTO parked_deltas (seq, reason, record) VALUES ($1, $2, $3)",
                              .values = values,
                              .value_count = 3};
    result = database_step(database, &query, error);
    return result == DATABASE_OK ? write_applied(database, key, delta->seq, error) : result;
}

enum database_result database_park(struct database *database, const struct database_batch *batch, const char *reason,
                                   struct error *error)
{
    char key[KEY_BYTES];
    enum database_result result = make_key(key, batch->instance, error);
    if (result == DATABASE_OK)
        result = database_begin(database, SQL_WRITE, error);
    if (result != DATABASE_OK)
        return result;
    return database_end(database, park_within(database, key, batch, reason, error), error);
}
