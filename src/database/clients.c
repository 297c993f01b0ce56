/*
 * clients: the rules of table `clients`, and the site-wide multipliers, which are
 * keys of the table `privtrak`.
 */
#include <stdio.h>

#include "database/backend.h"

static int take_client(void *context, const struct sql_value *columns)
{
    struct client_row *row = context;
    sql_copy_text(row->prefix, sizeof(row->prefix), &columns[0]);
    sql_copy_text(row->name, sizeof(row->name), &columns[1]);
    row->allowed = sql_as_integer(&columns[2]) != 0;
    return 0;
}

static enum database_result check_prefix(const char *prefix, struct error *error)
{
    size_t length = strnlen(prefix, PEER_ID_BYTES + 1);
    bool is_printable = true;
    for (size_t i = 0; i < length; i++)
        is_printable = is_printable && prefix[i] >= 0x20 && prefix[i] < 0x7f;
    if (length < 1 || length > PEER_ID_BYTES || !is_printable)
        return database_fail(DATABASE_INVALID, error, "prefix is not 1 to %d printable ASCII characters",
                             PEER_ID_BYTES);
    return DATABASE_OK;
}

enum database_result database_client_put(struct database *database, const struct client_row *row, bool *made,
                                         struct error *error)
{
    enum database_result result = check_prefix(row->prefix, error);
    if (result == DATABASE_OK)
        result = database_begin(database, SQL_WRITE, error);
    if (result != DATABASE_OK)
        return result;
    struct sql_value values[] = {sql_text(row->prefix), sql_text(row->name), sql_integer(row->allowed)};
    struct sql_query update = {
        .text = "UPDATE clients SET name = $2, allowed = $3 WHERE prefix = $1", .values = values, .value_count = 3};
    struct sql_query insert = {
        .text = "INSERT INTO clients (prefix, name, allowed) VALUES ($1, $2, $3)", .values = values, .value_count = 3};
    result = database_step(database, &update, error);
    *made = result == DATABASE_OK && update.changed == 0;
    if (*made)
        result = database_step(database, &insert, error);
    return database_end(database, result, error);
}

enum database_result database_client_get(struct database *database, const char *prefix, struct client_row *row,
                                         struct error *error)
{
    enum database_result result = database_ready(database, error);
    if (result != DATABASE_OK)
        return result;
    struct sql_value values[] = {sql_text(prefix)};
    struct sql_query query = {.text = "SELECT prefix, name, allowed FROM clients WHERE prefix = $1",
                              .values = values,
                              .value_count = 1,
                              .row = take_client,
                              .context = row};
    result = database_one(database, &query, error);
    if (result == DATABASE_NOT_FOUND)
        error_set(error, "no rule has this prefix");
    return result;
}

enum database_result database_client_delete(struct database *database, const char *prefix, struct error *error)
{
    struct sql_value values[] = {sql_text(prefix)};
    struct sql_query query = {.text = "DELETE FROM clients WHERE prefix = $1", .values = values, .value_count = 1};
    enum database_result result = database_query(database, &query, error);
    if (result == DATABASE_OK && query.changed == 0)
        return database_fail(DATABASE_NOT_FOUND, error, "no rule has this prefix");
    return result;
}

struct client_list {
    struct client_row *rows;
    size_t count;
    size_t limit;
};

static int append_client(void *context, const struct sql_value *columns)
{
    struct client_list *list = context;
    if (list->count < list->limit)
        take_client(&list->rows[list->count++], columns);
    return 0;
}

enum database_result database_client_list(struct database *database, const char *after, size_t limit,
                                          struct client_row *rows, size_t *count, struct error *error)
{
    struct client_list list = {.rows = rows, .limit = limit};
    struct sql_value values[] = {sql_text(after ? after : ""), sql_integer((int64_t)limit)};
    struct sql_query query = {.text = "SELECT prefix, name, allowed FROM clients WHERE prefix > $1 "
                                      "ORDER BY prefix LIMIT $2",
                              .values = values,
                              .value_count = 2,
                              .row = append_client,
                              .context = &list};
    enum database_result result = database_query(database, &query, error);
    *count = list.count;
    return result;
}

static int take_multiplier(void *context, const struct sql_value *columns)
{
    struct multipliers *multipliers = context;
    char key[32];
    sql_copy_text(key, sizeof(key), &columns[0]);
    int64_t value = sql_as_integer(&columns[1]);
    bool is_percent = value >= 0 && value <= DATABASE_PERCENT_MAX;
    if (strcmp(key, "upload_percent") == 0 && is_percent)
        multipliers->upload_percent = (uint32_t)value;
    else if (strcmp(key, "download_percent") == 0 && is_percent)
        multipliers->download_percent = (uint32_t)value;
    else if (strcmp(key, "until") == 0 && value > 0)
        multipliers->until_s = value;
    return 0;
}

enum database_result multipliers_read(struct database *database, struct multipliers *multipliers, struct error *error)
{
    *multipliers = (struct multipliers){.upload_percent = 100, .download_percent = 100};
    struct sql_query query = {
        .text = "SELECT \"key\", value FROM privtrak WHERE \"key\" IN ('upload_percent', 'download_percent', 'until')",
        .row = take_multiplier,
        .context = multipliers};
    return database_step(database, &query, error);
}

enum database_result database_multipliers_get(struct database *database, struct multipliers *multipliers,
                                              struct error *error)
{
    enum database_result result = database_ready(database, error);
    return result == DATABASE_OK ? multipliers_read(database, multipliers, error) : result;
}

static enum database_result set_key(struct database *database, const char *key, int64_t number, struct error *error)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)number);
    return database_set_key(database, key, text, error);
}

enum database_result database_multipliers_set(struct database *database, const struct multipliers *multipliers,
                                              struct error *error)
{
    enum database_result result = check_percent("upload_percent", multipliers->upload_percent, error);
    if (result == DATABASE_OK)
        result = check_percent("download_percent", multipliers->download_percent, error);
    if (result == DATABASE_OK && multipliers->until_s < 0)
        result = database_fail(DATABASE_INVALID, error, "until is negative");
    if (result == DATABASE_OK)
        result = database_begin(database, SQL_WRITE, error);
    if (result != DATABASE_OK)
        return result;
    result = set_key(database, "upload_percent", multipliers->upload_percent, error);
    if (result == DATABASE_OK)
        result = set_key(database, "download_percent", multipliers->download_percent, error);
    if (result == DATABASE_OK)
        result = set_key(database, "until", multipliers->until_s, error);
    return database_end(database, result, error);
}
