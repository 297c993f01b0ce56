/* torrent_file: see torrent_file.h. A strict reader of bencode: all of the file has to be well-formed. */
#include "ctl/torrent_file.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 64, FILE_MAX = 64 * 1024 * 1024 };

struct text {
    const uint8_t *bytes;
    size_t length;
};

/* Bytes still to be read. */
struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

static bool text_is(struct text text, const char *word)
{
    return text.length == strlen(word) && memcmp(text.bytes, word, text.length) == 0;
}

/* Digits up to `stop`, without leading zeros, within int64_t's range. */
static bool read_digits(struct cursor *cursor, char stop, uint64_t *number)
{
    const uint8_t *first = cursor->at;
    uint64_t value = 0;
    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9') {
        unsigned digit = (unsigned)*cursor->at - '0';
        if (value > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
        cursor->at++;
    }
    bool is_whole = cursor->at > first && (first[0] != '0' || cursor->at == first + 1);
    if (!is_whole || cursor->at == cursor->end || *cursor->at != (uint8_t)stop)
        return false;
    cursor->at++;
    *number = value;
    return true;
}

static bool read_text(struct cursor *cursor, struct text *text)
{
    uint64_t length;
    if (!read_digits(cursor, ':', &length) || length > (uint64_t)(cursor->end - cursor->at))
        return false;
    *text = (struct text){cursor->at, (size_t)length};
    cursor->at += length;
    return true;
}

static bool take_byte(struct cursor *cursor, char byte)
{
    if (cursor->at == cursor->end || *cursor->at != (uint8_t)byte)
        return false;
    cursor->at++;
    return true;
}

/* An integer; a negative one counts as 0, for nothing that is asked here can be negative. */
static bool read_integer(struct cursor *cursor, uint64_t *number)
{
    if (!take_byte(cursor, 'i'))
        return false;
    bool is_negative = take_byte(cursor, '-');
    if (!read_digits(cursor, 'e', number) || (is_negative && *number == 0))
        return false;
    if (is_negative)
        *number = 0;
    return true;
}

static bool skip_value(struct cursor *cursor, int depth)
{
    uint64_t number;
    struct text text;
    if (cursor->at == cursor->end || depth > DEPTH_MAX)
        return false;
    if (*cursor->at == 'i')
        return read_integer(cursor, &number);
    bool is_dictionary = *cursor->at == 'd';
    if (!is_dictionary && *cursor->at != 'l')
        return read_text(cursor, &text);
    cursor->at++;
    while (!take_byte(cursor, 'e')) {
        if (is_dictionary && !read_text(cursor, &text))
            return false;
        if (!skip_value(cursor, depth + 1))
            return false;
    }
    return true;
}

/*
 * The next key of a dictionary whose "d" is read, with its value's bytes; false at its end. The dictionary
 * has been skipped over once, so that it is known to be well-formed.
 */
static bool next_member(struct cursor *dictionary, struct text *key, struct cursor *value)
{
    if (take_byte(dictionary, 'e') || !read_text(dictionary, key))
        return false;
    value->at = dictionary->at;
    (void)skip_value(dictionary, 0);
    value->end = dictionary->at;
    return true;
}

/* The value of `name`; false where there is none, or two. */
static bool find_member(struct cursor dictionary, const char *name, struct cursor *found)
{
    struct text key;
    struct cursor value;
    int count = 0;
    if (!take_byte(&dictionary, 'd'))
        return false;
    while (next_member(&dictionary, &key, &value)) {
        if (!text_is(key, name))
            continue;
        *found = value;
        count++;
    }
    return count == 1;
}

static bool add_size(uint64_t *sum, struct cursor dictionary)
{
    struct cursor value;
    uint64_t length;
    if (!find_member(dictionary, "length", &value) || !read_integer(&value, &length) ||
        length > (uint64_t)INT64_MAX - *sum)
        return false;
    *sum += length;
    return true;
}

/* v1: one `length`, or the sum over the list `files`. */
static bool v1_size(struct cursor info, uint64_t *size)
{
    struct cursor files;
    *size = 0;
    if (!find_member(info, "files", &files))
        return add_size(size, info);
    if (!take_byte(&files, 'l'))
        return false;
    while (files.at < files.end && *files.at == 'd') {
        struct cursor file = files;
        (void)skip_value(&files, 0);
        file.end = files.at;
        if (!add_size(size, file))
            return false;
    }
    return files.at < files.end && *files.at == 'e';
}

/* v2: a tree of dictionaries; a file is one whose only key is empty. */
static bool v2_size(struct cursor tree, uint64_t *size)
{
    struct text key;
    struct cursor value;
    if (!take_byte(&tree, 'd'))
        return false;
    while (next_member(&tree, &key, &value)) {
        bool is_good = key.length == 0 ? add_size(size, value) : v2_size(value, size);
        if (!is_good)
            return false;
    }
    return true;
}

static size_t character_length(const uint8_t *bytes, size_t length)
{
    size_t wanted = bytes[0] < 0x80                       ? 1
                    : bytes[0] >= 0xc2 && bytes[0] < 0xe0 ? 2
                    : (bytes[0] & 0xf0) == 0xe0           ? 3
                    : bytes[0] >= 0xf0 && bytes[0] < 0xf5 ? 4
                                                          : 0;
    if (wanted == 0 || wanted > length)
        return 0;
    for (size_t i = 1; i < wanted; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    }
    bool is_overlong = (bytes[0] == 0xe0 && bytes[1] < 0xa0) || (bytes[0] == 0xf0 && bytes[1] < 0x90);
    bool is_no_character = (bytes[0] == 0xed && bytes[1] >= 0xa0) || (bytes[0] == 0xf4 && bytes[1] >= 0x90);
    return is_overlong || is_no_character ? 0 : wanted;
}

static void take_name(char *name, size_t size, struct text text)
{
    size_t length = 0;
    for (size_t i = 0; i < text.length;) {
        size_t step = character_length(text.bytes + i, text.length - i);
        bool is_control = step > 0 && (text.bytes[i] < 0x20 || text.bytes[i] == 0x7f ||
                                       (text.bytes[i] == 0xc2 && text.bytes[i + 1] < 0xa0));
        if (length + (step > 0 ? step : 1) >= size)
            break;
        if (step == 0 || is_control) {
            name[length++] = '?';
            i += step > 0 ? step : 1;
            continue;
        }
        memcpy(name + length, text.bytes + i, step);
        length += step;
        i += step;
    }
    name[length] = '\0';
}

static bool hash(uint8_t result[static 20], struct cursor info, const EVP_MD *kind)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (EVP_Digest(info.at, (size_t)(info.end - info.at), digest, NULL, kind, NULL) != 1)
        return false;
    memcpy(result, digest, 20);
    return true;
}

static int read_info(struct torrent_file *torrent, struct cursor info, struct error *error)
{
    struct cursor value;
    struct text name = {NULL, 0};
    uint64_t number = 0;
    bool is_v1 = find_member(info, "pieces", &value);
    bool is_v2 = find_member(info, "meta version", &value) && read_integer(&value, &number) && number == 2;
    if (!is_v1 && !is_v2)
        return error_set(error, "its info dictionary has no pieces");
    torrent->is_v2_only = !is_v1;
    torrent->is_hybrid = is_v1 && is_v2;
    torrent->is_private = find_member(info, "private", &value) && read_integer(&value, &number) && number == 1;
    if (find_member(info, "name", &value) && read_text(&value, &name))
        take_name(torrent->name, sizeof torrent->name, name);
    torrent->size = 0;
    bool has_size = is_v1 ? v1_size(info, &torrent->size)
                          : find_member(info, "file tree", &value) && v2_size(value, &torrent->size);
    if (!has_size)
        return error_set(error, "its info dictionary does not say how large it is");
    if (is_v2 && !hash(torrent->v2_hash, info, EVP_sha256()))
        return error_set(error, "SHA-256 is not to be had");
    if (torrent->is_v2_only)
        memcpy(torrent->info_hash, torrent->v2_hash, sizeof torrent->info_hash);
    else if (!hash(torrent->info_hash, info, EVP_sha1()))
        return error_set(error, "SHA-1 is not to be had");
    return 0;
}

int torrent_file_parse(struct torrent_file *torrent, const uint8_t *bytes, size_t length, struct error *error)
{
    struct cursor whole = {bytes, bytes + length};
    struct cursor rest = whole;
    struct cursor info;
    memset(torrent, 0, sizeof *torrent);
    if (length == 0 || bytes[0] != 'd' || !skip_value(&rest, 0))
        return error_set(error, "it is no torrent file: not a bencoded dictionary");
    if (rest.at != rest.end)
        return error_set(error, "it is no torrent file: %zu bytes follow its end", (size_t)(rest.end - rest.at));
    if (!find_member(whole, "info", &info) || *info.at != 'd')
        return error_set(error, "it is no torrent file: there is no info dictionary, or more than one");
    return read_info(torrent, info, error);
}

int torrent_file_read(struct torrent_file *torrent, const char *path, struct error *error)
{
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return error_set(error, "%s: %s", path, strerror(errno));
    uint8_t *bytes = malloc(FILE_MAX + 1);
    size_t length = bytes != NULL ? fread(bytes, 1, FILE_MAX + 1, file) : 0;
    int result = -1;
    if (bytes == NULL)
        (void)error_set(error, "%s: out of memory", path);
    else if (ferror(file))
        (void)error_set(error, "%s: %s", path, strerror(errno));
    else if (length > FILE_MAX)
        (void)error_set(error, "%s: larger than %d MiB", path, FILE_MAX / 1024 / 1024);
    else if (torrent_file_parse(torrent, bytes, length, error) == 0)
        result = 0;
    else
        (void)error_prefix(error, path);
    free(bytes);
    (void)fclose(file);
    return result;
}
