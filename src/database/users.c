/*
 * users: the rows of table `users` as the site and the operator see them.
 */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#include "base/hex.h"
#include "database/backend.h"

enum { PASSKEY_RANDOM_BYTES = 16 };

static bool percent_fits(int64_t percent)
{
    return percent >= 0 && percent <= DATABASE_PERCENT_MAX;
}

bool user_row_read(struct user_row *row, const struct sql_value *columns)
{
    int64_t upload = sql_as_integer(&columns[6]), download = sql_as_integer(&columns[7]);
    row->id = sql_as_integer(&columns[0]);
    sql_copy_text(row->name, sizeof(row->name), &columns[1]);
    sql_copy_text(row->passkey, sizeof(row->passkey), &columns[2]);
    row->enabled = sql_as_integer(&columns[3]) != 0;
    row->can_leech = sql_as_integer(&columns[4]) != 0;
    row->hide_address = sql_as_integer(&columns[5]) != 0;
    row->upload_percent = (uint32_t)upload;
    row->download_percent = (uint32_t)download;
    row->uploaded = (uint64_t)sql_as_integer(&columns[8]);
    row->downloaded = (uint64_t)sql_as_integer(&columns[9]);
    row->raw_uploaded = (uint64_t)sql_as_integer(&columns[10]);
    row->raw_downloaded = (uint64_t)sql_as_integer(&columns[11]);
    row->quarantined = (uint64_t)sql_as_integer(&columns[12]);
    row->created_at = sql_as_integer(&columns[13]);
    row->updated_at = sql_as_integer(&columns[14]);
    return columns[2].type == SQL_TEXT && passkey_is_wellformed(columns[2].text, columns[2].length) &&
           percent_fits(upload) && percent_fits(download);
}

static int take_user(void *context, const struct sql_value *columns)
{
    user_row_read(context, columns);
    return 0;
}

static void random_passkey(char passkey[static DATABASE_PASSKEY_BYTES])
{
    uint8_t bytes[PASSKEY_RANDOM_BYTES];
    randombytes_buf(bytes, sizeof(bytes));
    hex_encode(passkey, bytes, sizeof(bytes));
    sodium_memzero(bytes, sizeof(bytes));
}

static enum database_result check_fields(unsigned fields, const struct user_row *row, struct error *error)
{
    enum database_result result = DATABASE_OK;
    if (fields & USER_FIELD_NAME)
        result = check_text("name", row->name, sizeof(row->name), error);
    if (result == DATABASE_OK && (fields & USER_FIELD_PASSKEY) &&
        !passkey_is_wellformed(row->passkey, strnlen(row->passkey, sizeof(row->passkey))))
        result = database_fail(DATABASE_INVALID, error, "passkey is not 1 to %d of A-Z a-z 0-9 - _", PASSKEY_MAX);
    if (result == DATABASE_OK && (fields & USER_FIELD_UPLOAD_PERCENT))
        result = check_percent("upload_percent", row->upload_percent, error);
    if (result == DATABASE_OK && (fields & USER_FIELD_DOWNLOAD_PERCENT))
        result = check_percent("download_percent", row->download_percent, error);
    return result;
}

static void list_fields(struct sql_fields *list, unsigned fields, const struct user_row *row)
{
    if (fields & USER_FIELD_NAME)
        sql_fields_add(list, "name", sql_text(row->name));
    if (fields & USER_FIELD_PASSKEY)
        sql_fields_add(list, "passkey", sql_text(row->passkey));
    if (fields & USER_FIELD_ENABLED)
        sql_fields_add(list, "enabled", sql_integer(row->enabled));
    if (fields & USER_FIELD_CAN_LEECH)
        sql_fields_add(list, "can_leech", sql_integer(row->can_leech));
    if (fields & USER_FIELD_HIDE_ADDRESS)
        sql_fields_add(list, "hide_address", sql_integer(row->hide_address));
    if (fields & USER_FIELD_UPLOAD_PERCENT)
        sql_fields_add(list, "upload_percent", sql_integer(row->upload_percent));
    if (fields & USER_FIELD_DOWNLOAD_PERCENT)
        sql_fields_add(list, "download_percent", sql_integer(row->download_percent));
}

static enum database_result get_by_id(struct database *database, int64_t id, struct user_row *row, struct error *error)
{
    struct sql_value values[] = {sql_integer(id)};
    struct sql_query query = {.text = "SELECT " USER_COLUMNS " FROM users WHERE id = $1",
                              .values = values,
                              .value_count = 1,
                              .row = take_user,
                              .context = row};
    enum database_result result = database_one(database, &query, error);
    if (result == DATABASE_NOT_FOUND)
        error_set(error, "no user has the id %" PRId64, id);
    return result;
}

static int take_id(void *context, const struct sql_value *columns)
{
    *(int64_t *)context = sql_as_integer(&columns[0]);
    return 0;
}

static int add_count(void *context, const struct sql_value *columns)
{
    *(int64_t *)context += sql_as_integer(&columns[0]);
    return 0;
}

static enum database_result conflict_reason(enum database_result result, struct error *error)
{
    if (result == DATABASE_CONFLICT)
        error_set(error, "another user has this passkey");
    return result;
}

static enum database_result create_within(struct database *database, unsigned fields, struct user_row *row,
                                          struct error *error)
{
    struct sql_fields list = {0};
    list_fields(&list, fields, row);
    char text[SQL_TEXT_BYTES];
    snprintf(text, sizeof(text), "INSERT INTO users (%s) VALUES (%s) RETURNING id", list.names, list.holes);
    int64_t id = 0;
    struct sql_query query = {
        .text = text, .values = list.values, .value_count = list.count, .row = take_id, .context = &id};
    enum database_result result = conflict_reason(database_one(database, &query, error), error);
    return result == DATABASE_OK ? get_by_id(database, id, row, error) : result;
}

enum database_result database_user_create(struct database *database, unsigned fields, struct user_row *row,
                                          struct error *error)
{
    if (!(fields & USER_FIELD_PASSKEY))
        random_passkey(row->passkey);
    fields |= USER_FIELD_PASSKEY;
    enum database_result result = check_fields(fields, row, error);
    if (result == DATABASE_OK)
        result = database_begin(database, SQL_WRITE, error);
    if (result != DATABASE_OK)
        return result;
    return database_end(database, create_within(database, fields, row, error), error);
}

/* A site that deleted its owner does not get one back: the key `owner` says that there was one. */
#define OWNER_LOOK                                                          \
    "SELECT count(*) FROM (SELECT id FROM users LIMIT 1) AS one UNION ALL " \
    "SELECT count(*) FROM privtrak WHERE \"key\" = 'owner'"

static enum database_result create_owner_within(struct database *database, struct user_row *row, bool *made,
                                                struct error *error)
{
    int64_t known = 0;
    struct sql_query look = {.text = OWNER_LOOK, .row = add_count, .context = &known};
    enum database_result result = database_step(database, &look, error);
    if (result != DATABASE_OK || known > 0)
        return result;
    result = create_within(database, USER_FIELD_NAME | USER_FIELD_PASSKEY, row, error);
    if (result != DATABASE_OK)
        return result;
    char id[24];
    snprintf(id, sizeof(id), "%" PRId64, row->id);
    result = database_set_key(database, "owner", id, error);
    *made = result == DATABASE_OK;
    return result;
}

enum database_result database_owner_create(struct database *database, struct user_row *row, bool *made,
                                           struct error *error)
{
    *made = false;
    /* Nearly always there is nothing to write, and whoever keeps others from writing need not be waited for. */
    int64_t known = 0;
    struct sql_query look = {.text = OWNER_LOOK, .row = add_count, .context = &known};
    enum database_result result = database_query(database, &look, error);
    if (result != DATABASE_OK || known > 0)
        return result;
    result = database_begin(database, SQL_WRITE, error);
    if (result != DATABASE_OK)
        return result;
    *row = (struct user_row){.name = "owner"};
    random_passkey(row->passkey);
    result = database_end(database, create_owner_within(database, row, made, error), error);
    *made = *made && result == DATABASE_OK;
    return result;
}

enum database_result database_user_get(struct database *database, int64_t id, struct user_row *row, struct error *error)
{
    enum database_result result = database_ready(database, error);
    return result == DATABASE_OK ? get_by_id(database, id, row, error) : result;
}

enum database_result database_user_by_passkey(struct database *database, const char *passkey, struct user_row *row,
                                              struct error *error)
{
    enum database_result result = database_ready(database, error);
    if (result != DATABASE_OK)
        return result;
    struct sql_value values[] = {sql_text(passkey)};
    struct sql_query query = {.text = "SELECT " USER_COLUMNS " FROM users WHERE passkey = $1",
                              .values = values,
                              .value_count = 1,
                              .row = take_user,
                              .context = row};
    result = database_one(database, &query, error);
    if (result == DATABASE_NOT_FOUND)
        error_set(error, "no user has this passkey");
    return result;
}

static enum database_result write_fields(struct database *database, int64_t id, unsigned fields,
                                         const struct user_row *row, struct error *error)
{
    struct sql_fields list = {0};
    list_fields(&list, fields, row);
    if (list.count == 0)
        return DATABASE_OK;
    char text[SQL_TEXT_BYTES];
    snprintf(text, sizeof(text), "UPDATE users SET %s WHERE id = $%zu", list.assigns, list.count + 1);
    list.values[list.count++] = sql_integer(id);
    struct sql_query query = {.text = text, .values = list.values, .value_count = list.count};
    return conflict_reason(database_step(database, &query, error), error);
}

enum database_result database_user_update(struct database *database, int64_t id, unsigned fields, struct user_row *row,
                                          struct error *error)
{
    enum database_result result = check_fields(fields, row, error);
    if (result == DATABASE_OK)
        result = database_begin(database, SQL_WRITE, error);
    if (result != DATABASE_OK)
        return result;
    result = write_fields(database, id, fields, row, error);
    if (result == DATABASE_OK)
        result = get_by_id(database, id, row, error);
    return database_end(database, result, error);
}

enum database_result database_user_reset_passkey(struct database *database, int64_t id, struct user_row *row,
                                                 struct error *error)
{
    random_passkey(row->passkey);
    return database_user_update(database, id, USER_FIELD_PASSKEY, row, error);
}

enum database_result database_user_delete(struct database *database, int64_t id, struct error *error)
{
    struct sql_value values[] = {sql_integer(id)};
    struct sql_query query = {.text = "DELETE FROM users WHERE id = $1", .values = values, .value_count = 1};
    enum database_result result = database_query(database, &query, error);
    if (result == DATABASE_OK && query.changed == 0)
        return database_fail(DATABASE_NOT_FOUND, error, "no user has the id %" PRId64, id);
    return result;
}

struct user_list {
    struct user_row *rows;
    size_t count;
    size_t limit;
};

static int append_user(void *context, const struct sql_value *columns)
{
    struct user_list *list = context;
    if (list->count < list->limit)
        user_row_read(&list->rows[list->count++], columns);
    return 0;
}

enum database_result database_user_list(struct database *database, int64_t after, size_t limit, const char *search,
                                        struct user_row *rows, size_t *count, struct error *error)
{
    struct user_list list = {.rows = rows, .limit = limit};
    char pattern[2 * DATABASE_NAME_BYTES];
    struct sql_value values[4] = {sql_integer(after), sql_integer((int64_t)limit)};
    struct sql_query query = {.text = "SELECT " USER_COLUMNS " FROM users WHERE id > $1 ORDER BY id LIMIT $2",
                              .values = values,
                              .value_count = 2,
                              .row = append_user,
                              .context = &list};
    if (search) {
        sql_like_pattern(pattern, sizeof(pattern), search);
        values[2] = sql_text(pattern);
        values[3] = sql_text(search);
        query.value_count = 4;
        query.text = "SELECT " USER_COLUMNS " FROM users WHERE id > $1 AND (lower(name) LIKE lower($3) ESCAPE '\\' "
                     "OR passkey = $4 OR CAST(id AS VARCHAR(20)) = $4) ORDER BY id LIMIT $2";
    }
    enum database_result result = database_query(database, &query, error);
    *count = list.count;
    return result;
}
