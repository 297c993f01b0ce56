/*
 * database: the sink that brings deltas into the tables. Each batch is one transaction
 * that holds its number too, so a batch is applied exactly once: after anything
 * doubtful the runner asks for the position, and the database knows.
 * Runs on the thread sink-database; interrupt may come from any.
 */
#include <stdlib.h>
#include <string.h>

#include "database/database.h"
#include "deltas/sink.h"

/* After an outage: rows sorted by key then share pages and statements. Some 10 MB, and under a second of the write lock. */
enum { CATCH_UP_SIZE = 32768 };

struct sink {
    struct database *database;
    bool include_address;
    char *instance;
};

static enum sink_result result_of(enum database_result result)
{
    switch (result) {
    case DATABASE_OK:
        return SINK_TAKEN;
    case DATABASE_INVALID:
    case DATABASE_CONFLICT:
        return SINK_REJECTED;
    default:
        return SINK_RETRY;
    }
}

static void database_sink_close(struct sink *sink)
{
    if (!sink)
        return;
    database_close(sink->database);
    free(sink->instance);
    free(sink);
}

static struct sink *database_sink_open(const struct sink_settings *settings, struct error *error)
{
    struct sink *sink = calloc(1, sizeof(*sink));
    if (!sink || !(sink->instance = strdup(settings->instance))) {
        free(sink);
        error_set(error, "out of memory");
        return NULL;
    }
    sink->include_address = settings->config->deltas.include_address;
    sink->database = database_open(settings->config->database.url, error);
    if (!sink->database) {
        database_sink_close(sink);
        return NULL;
    }
    return sink;
}

static enum sink_result database_sink_position(struct sink *sink, uint64_t *seq, struct error *error)
{
    enum database_result result = database_applied(sink->database, sink->instance, seq, error);
    return result == DATABASE_OK ? SINK_TAKEN : SINK_RETRY;
}

static struct database_batch batch_of(const struct sink *sink, const struct delta *deltas, size_t count)
{
    return (struct database_batch){
        .instance = sink->instance, .deltas = deltas, .count = count, .include_address = sink->include_address};
}

static enum sink_result database_sink_deliver(struct sink *sink, const struct delta *deltas, size_t count,
                                              struct error *error)
{
    struct database_batch batch = batch_of(sink, deltas, count);
    return result_of(database_apply(sink->database, &batch, error));
}

static enum sink_result database_sink_park(struct sink *sink, const struct delta *delta, const char *reason,
                                           struct error *error)
{
    struct database_batch batch = batch_of(sink, delta, 1);
    enum database_result result = database_park(sink->database, &batch, reason, error);
    return result == DATABASE_OK ? SINK_TAKEN : SINK_RETRY;
}

static void database_sink_include_address(struct sink *sink, bool include)
{
    sink->include_address = include;
}

static void database_sink_interrupt(struct sink *sink)
{
    database_interrupt(sink->database);
}

const struct sink_type sink_database_type = {
    .name = "database",
    .open = database_sink_open,
    .position = database_sink_position,
    .deliver = database_sink_deliver,
    .catch_up_size = CATCH_UP_SIZE,
    .park = database_sink_park,
    .set_include_address = database_sink_include_address,
    .interrupt = database_sink_interrupt,
    .close = database_sink_close,
};
