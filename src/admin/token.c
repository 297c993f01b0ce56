/* token: see token.h. */
#include "admin/token.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/log.h"

/* 256 random bits. An operator's own token must not be so short that it can be guessed. */
enum { TOKEN_RANDOM_BYTES = 32, TOKEN_LEAST = 16 };

static int write_token(int file, const char *token)
{
    char line[TOKEN_MAX + 2];
    int length = snprintf(line, sizeof line, "%s\n", token);
    ssize_t written = write(file, line, (size_t)length);
    sodium_memzero(line, sizeof line);
    if (written != length)
        return -1;
    return fsync(file);
}

/* Under another name first, so that a crash leaves no half of a token behind. */
static int make_token(const char *path, char token[static TOKEN_MAX + 1], struct error *error)
{
    uint8_t random[TOKEN_RANDOM_BYTES];
    char temporary[4096];
    if (snprintf(temporary, sizeof temporary, "%s.new", path) >= (int)sizeof temporary)
        return error_set(error, "admin.token_file: %.200s…: too long a path", path);
    if (sodium_init() < 0)
        return error_set(error, "admin: libsodium has no source of randomness");
    randombytes_buf(random, sizeof random);
    hex_encode(token, random, sizeof random);
    (void)unlink(temporary);
    int file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return error_set(error, "admin.token_file: %s: %s", temporary, strerror(errno));
    int result = write_token(file, token);
    int reason = errno;
    (void)close(file);
    if (result == 0 && rename(temporary, path) == 0)
        return 0;
    reason = result == 0 ? errno : reason;
    (void)unlink(temporary);
    return error_set(error, "admin.token_file: %s: %s", path, strerror(reason));
}

static int read_token(int file, const char *path, char token[static TOKEN_MAX + 1], struct error *error)
{
    struct stat facts;
    char text[TOKEN_MAX + 8];
    ssize_t length = read(file, text, sizeof text);
    if (length < 0)
        return error_set(error, "admin.token_file: %s: %s", path, strerror(errno));
    while (length > 0 && strchr("\r\n \t", text[length - 1]) != NULL)
        length--;
    if (length < TOKEN_LEAST || length > TOKEN_MAX)
        return error_set(error,
                         "admin.token_file: %s: found %zd characters, allowed %d to %d (remove the file, and a "
                         "new one is made)",
                         path, length, TOKEN_LEAST, TOKEN_MAX);
    for (ssize_t i = 0; i < length; i++) {
        if (text[i] <= 0x20 || text[i] > 0x7e)
            return error_set(error, "admin.token_file: %s: found a character that is not printable ASCII", path);
    }
    if (fstat(file, &facts) == 0 && (facts.st_mode & 077) != 0)
        log_warning("admin", "others than its owner may read the token: chmod 600 token_file=%s", path);
    memcpy(token, text, (size_t)length);
    token[length] = '\0';
    sodium_memzero(text, sizeof text);
    return 0;
}

int token_load(const char *path, char token[static TOKEN_MAX + 1], struct error *error)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (file < 0 && errno == ENOENT)
        return make_token(path, token, error);
    if (file < 0)
        return error_set(error, "admin.token_file: %s: %s", path, strerror(errno));
    int result = read_token(file, path, token, error);
    (void)close(file);
    return result;
}
