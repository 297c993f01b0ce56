#include "database/mariadb_url.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"

enum { CONNECT_TIMEOUT_S = 10, LOCK_TIMEOUT_S = 20, STATEMENT_TIMEOUT_S = 60, TIMEOUT_MAX_S = 3600 };

static int out_of_shape(struct error *error, const char *what)
{
    return error_set(error, "%s; expected is mariadb://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE", what);
}

/* Decodes %XX in place. */
static bool decode(char *text)
{
    char *to = text;
    for (; *text != '\0'; text++) {
        uint8_t byte = (uint8_t)*text;
        if (byte == '%') {
            if (text[1] == '\0' || !hex_decode(&byte, 1, text + 1, 2) || byte == 0)
                return false;
            text += 2;
        }
        *to++ = (char)byte;
    }
    *to = '\0';
    return true;
}

/* Ends `text` at the first `sign`; returns what stands behind it, NULL where there is none. */
static char *split(char *text, char sign)
{
    char *at = strchr(text, sign);
    if (at)
        *at++ = '\0';
    return at;
}

/* A whole number of 1 to `most`. */
static bool read_number(const char *text, uint32_t most, uint32_t *number)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 9 || text[digits] != '\0')
        return false;
    *number = (uint32_t)strtoul(text, NULL, 10);
    return *number >= 1 && *number <= most;
}

static bool read_tls(const char *text, enum mariadb_tls *tls)
{
    static const char *const names[] = {"disabled", "preferred", "required", "verify"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *tls = (enum mariadb_tls)i;
            return true;
        }
    }
    return false;
}

static int read_option(struct mariadb_url *url, const char *name, const char *value, struct error *error)
{
    const struct {
        const char *name;
        const char **text;
        uint32_t *seconds;
    } options[] = {{"socket", &url->socket, NULL},
                   {"ssl-ca", &url->ssl_ca, NULL},
                   {"ssl-cert", &url->ssl_cert, NULL},
                   {"ssl-key", &url->ssl_key, NULL},
                   {"connect-timeout", NULL, &url->connect_timeout_s},
                   {"lock-timeout", NULL, &url->lock_timeout_s},
                   {"statement-timeout", NULL, &url->statement_timeout_s}};
    if (strcmp(name, "ssl-mode") == 0) {
        if (read_tls(value, &url->tls))
            return 0;
        return error_set(error, "ssl-mode is none of disabled, preferred, required, verify");
    }
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (strcmp(name, options[i].name) != 0)
            continue;
        if (options[i].text && value[0] != '\0') {
            *options[i].text = value;
            return 0;
        }
        if (options[i].seconds && read_number(value, TIMEOUT_MAX_S, options[i].seconds))
            return 0;
        return error_set(error, "%s is not %s", name, options[i].text ? "a path" : "1 to 3600 (seconds)");
    }
    return error_set(error,
                     "the option %.40s is not known; known are socket, ssl-mode, ssl-ca, ssl-cert, ssl-key, "
                     "connect-timeout, lock-timeout, statement-timeout",
                     name);
}

static int read_options(struct mariadb_url *url, char *text, struct error *error)
{
    while (text && *text != '\0') {
        char *next = split(text, '&');
        char *value = split(text, '=');
        if (!value || !decode(text) || !decode(value))
            return out_of_shape(error, "an option is not NAME=VALUE");
        if (read_option(url, text, value, error) != 0)
            return -1;
        text = next;
    }
    return 0;
}

/* HOST, HOST:PORT, [IPv6] or [IPv6]:PORT. */
static int read_host(struct mariadb_url *url, char *text, struct error *error)
{
    char *port;
    if (*text == '[') {
        char *end = split(++text, ']');
        if (!end || (*end != '\0' && *end != ':'))
            return out_of_shape(error, "the host is not [IPV6] or [IPV6]:PORT");
        port = *end == ':' ? end + 1 : NULL;
    } else {
        port = split(text, ':');
    }
    uint32_t number = 0;
    if (port && !read_number(port, UINT16_MAX, &number))
        return out_of_shape(error, "the port is not 1 to 65535");
    if (!decode(text))
        return out_of_shape(error, "the host has a bad % escape");
    url->port = (uint16_t)number;
    url->host = *text == '\0' || (strcmp(text, "localhost") == 0 && number == 0) ? NULL : text;
    return number != 0 && *text == '\0' ? out_of_shape(error, "there is a port without a host") : 0;
}

static int read_parts(struct mariadb_url *url, char *text, struct error *error)
{
    char *options = split(text, '?');
    char *database = split(text, '/');
    if (!database || *database == '\0' || !decode(database))
        return out_of_shape(error, "the database has no name");
    url->database = database;
    char *host = strrchr(text, '@');
    if (host) {
        *host++ = '\0';
        char *password = split(text, ':');
        if (!decode(text) || (password && !decode(password)))
            return out_of_shape(error, "user or password have a bad % escape");
        url->user = text;
        url->password = password ? password : "";
    }
    if (read_host(url, host ? host : text, error) != 0 || read_options(url, options, error) != 0)
        return -1;
    if (url->socket && url->host)
        return error_set(error, "a socket and a host are given; one of them is wanted");
    return 0;
}

int mariadb_url_parse(struct mariadb_url *url, const char *text, struct error *error)
{
    *url = (struct mariadb_url){.user = "",
                                .password = "",
                                .tls = MARIADB_TLS_PREFERRED,
                                .connect_timeout_s = CONNECT_TIMEOUT_S,
                                .lock_timeout_s = LOCK_TIMEOUT_S,
                                .statement_timeout_s = STATEMENT_TIMEOUT_S};
    if (strncmp(text, MARIADB_SCHEME, strlen(MARIADB_SCHEME)) != 0)
        return out_of_shape(error, "the URL is of another kind");
    url->text = strdup(text + strlen(MARIADB_SCHEME));
    if (!url->text)
        return error_set(error, "out of memory");
    if (read_parts(url, url->text, error) == 0)
        return 0;
    mariadb_url_clear(url);
    return -1;
}

void mariadb_url_clear(struct mariadb_url *url)
{
    if (url->text)
        explicit_bzero(url->text, strlen(url->text));
    free(url->text);
    url->text = NULL;
}
