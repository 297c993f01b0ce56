/*
 * torrents: the rows of table `torrents` as the site and the operator see them.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/hex.h"
#include "database/backend.h"

static const char *const state_names[] = {
    [TORRENT_APPROVED] = "approved", [TORRENT_PENDING] = "pending", [TORRENT_DELETED] = "deleted"};

enum { STATES = sizeof(state_names) / sizeof(state_names[0]), INFO_HASH_DIGITS = 2 * INFO_HASH_BYTES };

const char *torrent_state_name(enum torrent_state state)
{
    return state_names[state];
}

static bool state_parse(enum torrent_state *state, const char *name, size_t length)
{
    for (unsigned i = 0; i < STATES; i++) {
        if (strlen(state_names[i]) == length && memcmp(state_names[i], name, length) == 0) {
            *state = (enum torrent_state)i;
            return true;
        }
    }
    return false;
}

bool torrent_state_parse(enum torrent_state *state, const char *name)
{
    return state_parse(state, name, strlen(name));
}

static uint32_t as_count(int64_t value)
{
    return value < 0 ? 0 : value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

bool torrent_row_read(struct torrent_row *row, const struct sql_value *columns)
{
    int64_t upload = sql_as_integer(&columns[6]), download = sql_as_integer(&columns[7]);
    row->id = sql_as_integer(&columns[0]);
    sql_copy_text(row->name, sizeof(row->name), &columns[2]);
    row->size = (uint64_t)sql_as_integer(&columns[3]);
    sql_copy_text(row->reason, sizeof(row->reason), &columns[5]);
    row->upload_percent = as_count(upload);
    row->download_percent = as_count(download);
    row->seeders = as_count(sql_as_integer(&columns[8]));
    row->leechers = as_count(sql_as_integer(&columns[9]));
    row->snatches = as_count(sql_as_integer(&columns[10]));
    row->created_at = sql_as_integer(&columns[11]);
    row->updated_at = sql_as_integer(&columns[12]);
    row->state = TORRENT_DELETED;
    memset(row->info_hash, 0, sizeof(row->info_hash));
    return columns[1].type == SQL_TEXT && columns[4].type == SQL_TEXT &&
           hex_decode(row->info_hash, INFO_HASH_BYTES, columns[1].text, columns[1].length) &&
           state_parse(&row->state, columns[4].text, columns[4].length) && upload >= 0 &&
           upload <= DATABASE_PERCENT_MAX && download >= 0 && download <= DATABASE_PERCENT_MAX;
}

static int take_torrent(void *context, const struct sql_value *columns)
{
    torrent_row_read(context, columns);
    return 0;
}

static enum database_result check_fields(unsigned fields, const struct torrent_row *row, struct error *error)
{
    enum database_result result = DATABASE_OK;
    if (fields & TORRENT_FIELD_NAME)
        result = check_text("name", row->name, sizeof(row->name), error);
    if (result == DATABASE_OK && (fields & TORRENT_FIELD_REASON))
        result = check_text("reason", row->reason, sizeof(row->reason), error);
    if (result == DATABASE_OK && (fields & TORRENT_FIELD_SIZE) && row->size > COUNTER_MAX)
        result = database_fail(DATABASE_INVALID, error, "size is above 2^63-1");
    if (result == DATABASE_OK && (fields & TORRENT_FIELD_STATE) && (unsigned)row->state >= STATES)
        result = database_fail(DATABASE_INVALID, error, "state is not approved, pending or deleted");
    if (result == DATABASE_OK && (fields & TORRENT_FIELD_UPLOAD_PERCENT))
        result = check_percent("upload_percent", row->upload_percent, error);
    if (result == DATABASE_OK && (fields & TORRENT_FIELD_DOWNLOAD_PERCENT))
        result = check_percent("download_percent", row->download_percent, error);
    return result;
}

static void list_fields(struct sql_fields *list, unsigned fields, const struct torrent_row *row)
{
    if (fields & TORRENT_FIELD_NAME)
        sql_fields_add(list, "name", sql_text(row->name));
    if (fields & TORRENT_FIELD_SIZE)
        sql_fields_add(list, "size", sql_integer((int64_t)row->size));
    if (fields & TORRENT_FIELD_STATE)
        sql_fields_add(list, "state", sql_text(state_names[row->state]));
    if (fields & TORRENT_FIELD_REASON)
        sql_fields_add(list, "reason", sql_text(row->reason));
    if (fields & TORRENT_FIELD_UPLOAD_PERCENT)
        sql_fields_add(list, "upload_percent", sql_integer(row->upload_percent));
    if (fields & TORRENT_FIELD_DOWNLOAD_PERCENT)
        sql_fields_add(list, "download_percent", sql_integer(row->download_percent));
}

static enum database_result get_one(struct database *database, const char *text, struct sql_value key,
                                    struct torrent_row *row, struct error *error)
{
    struct sql_query query = {.text = text, .values = &key, .value_count = 1, .row = take_torrent, .context = row};
    enum database_result result = database_one(database, &query, error);
    if (result == DATABASE_NOT_FOUND)
        error_set(error, "no such torrent");
    return result;
}

static enum database_result get_by_hash(struct database *database, const char *digits, struct torrent_row *row,
                                        struct error *error)
{
    return get_one(database, "SELECT " TORRENT_COLUMNS " FROM torrents WHERE info_hash = $1", sql_text(digits), row,
                   error);
}

enum database_result database_torrent_get(struct database *database, const uint8_t *info_hash, struct torrent_row *row,
                                          struct error *error)
{
    char digits[INFO_HASH_DIGITS + 1];
    hex_encode(digits, info_hash, INFO_HASH_BYTES);
    enum database_result result = database_ready(database, error);
    return result == DATABASE_OK ? get_by_hash(database, digits, row, error) : result;
}

enum database_result database_torrent_get_id(struct database *database, int64_t id, struct torrent_row *row,
                                             struct error *error)
{
    enum database_result result = database_ready(database, error);
    if (result != DATABASE_OK)
        return result;
    return get_one(database, "SELECT " TORRENT_COLUMNS " FROM torrents WHERE id = $1", sql_integer(id), row, error);
}

enum database_result database_torrent_create(struct database *database, unsigned fields, struct torrent_row *row,
                                             struct error *error)
{
    enum database_result result = check_fields(fields, row, error);
    if (result == DATABASE_OK)
        result = database_begin(database, SQL_WRITE, error);
    if (result != DATABASE_OK)
        return result;
    char digits[INFO_HASH_DIGITS + 1];
    hex_encode(digits, row->info_hash, INFO_HASH_BYTES);
    struct sql_fields list = {0};
    sql_fields_add(&list, "info_hash", sql_text(digits));
    list_fields(&list, fields, row);
    char text[SQL_TEXT_BYTES];
    snprintf(text, sizeof(text), "INSERT INTO torrents (%s) VALUES (%s)", list.names, list.holes);
    struct sql_query query = {.text = text, .values = list.values, .value_count = list.count};
    result = database_step(database, &query, error);
    if (result == DATABASE_CONFLICT)
        error_set(error, "the torrent is there already");
    if (result == DATABASE_OK)
        result = get_by_hash(database, digits, row, error);
    return database_end(database, result, error);
}

static enum database_result write_fields(struct database *database, const char *digits, unsigned fields,
                                         const struct torrent_row *row, struct error *error)
{
    struct sql_fields list = {0};
    list_fields(&list, fields, row);
    if (list.count == 0)
        return DATABASE_OK;
    char text[SQL_TEXT_BYTES];
    snprintf(text, sizeof(text), "UPDATE torrents SET %s WHERE info_hash = $%zu", list.assigns, list.count + 1);
    list.values[list.count++] = sql_text(digits);
    struct sql_query query = {.text = text, .values = list.values, .value_count = list.count};
    return database_step(database, &query, error);
}

enum database_result database_torrent_update(struct database *database, const uint8_t *info_hash, unsigned fields,
                                             struct torrent_row *row, struct error *error)
{
    enum database_result result = check_fields(fields, row, error);
    if (result == DATABASE_OK)
        result = database_begin(database, SQL_WRITE, error);
    if (result != DATABASE_OK)
        return result;
    char digits[INFO_HASH_DIGITS + 1];
    hex_encode(digits, info_hash, INFO_HASH_BYTES);
    result = write_fields(database, digits, fields, row, error);
    if (result == DATABASE_OK)
        result = get_by_hash(database, digits, row, error);
    return database_end(database, result, error);
}

enum database_result database_torrent_delete(struct database *database, const uint8_t *info_hash, struct error *error)
{
    char digits[INFO_HASH_DIGITS + 1];
    hex_encode(digits, info_hash, INFO_HASH_BYTES);
    struct sql_value values[] = {sql_text(digits)};
    struct sql_query query = {.text = "DELETE FROM torrents WHERE info_hash = $1", .values = values, .value_count = 1};
    enum database_result result = database_query(database, &query, error);
    if (result == DATABASE_OK && query.changed == 0)
        return database_fail(DATABASE_NOT_FOUND, error, "no such torrent");
    return result;
}

struct torrent_list {
    struct torrent_row *rows;
    size_t count;
    size_t limit;
};

static int append_torrent(void *context, const struct sql_value *columns)
{
    struct torrent_list *list = context;
    if (list->count < list->limit)
        torrent_row_read(&list->rows[list->count++], columns);
    return 0;
}

enum database_result database_torrent_list(struct database *database, int64_t after, size_t limit, const char *search,
                                           struct torrent_row *rows, size_t *count, struct error *error)
{
    struct torrent_list list = {.rows = rows, .limit = limit};
    char pattern[2 * DATABASE_NAME_BYTES];
    struct sql_value values[4] = {sql_integer(after), sql_integer((int64_t)limit)};
    struct sql_query query = {.text = "SELECT " TORRENT_COLUMNS " FROM torrents WHERE id > $1 ORDER BY id LIMIT $2",
                              .values = values,
                              .value_count = 2,
                              .row = append_torrent,
                              .context = &list};
    if (search) {
        sql_like_pattern(pattern, sizeof(pattern), search);
        values[2] = sql_text(pattern);
        values[3] = sql_text(search);
        query.value_count = 4;
        query.text = "SELECT " TORRENT_COLUMNS " FROM torrents WHERE id > $1 AND (lower(name) LIKE lower($3) "
                     "ESCAPE '\\' OR info_hash = lower($4) OR CAST(id AS VARCHAR(20)) = $4) ORDER BY id LIMIT $2";
    }
    enum database_result result = database_query(database, &query, error);
    *count = list.count;
    return result;
}
