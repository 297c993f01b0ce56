/* client: see client.h. */
#include "ctl/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 * 1024 * 1024, CONNECT_TIMEOUT_S = 5, CALL_TIMEOUT_S = 120 };

struct client {
    CURL *curl;
    struct curl_slist *headers;
    char *socket;  /* as the operator knows it */
    int directory; /* of the socket, where its path is too long for the kernel; else -1 */
    char short_path[sizeof((struct sockaddr_un *)NULL)->sun_path];
    char reason[CURL_ERROR_SIZE];
};

struct answer {
    char *text;
    size_t length;
};

static size_t take(char *data, size_t size, size_t count, void *context)
{
    struct answer *answer = context;
    size_t length = size * count;
    if (answer->length + length > ANSWER_MAX)
        return 0;
    char *grown = realloc(answer->text, answer->length + length + 1);
    if (grown == NULL)
        return 0;
    memcpy(grown + answer->length, data, length);
    answer->text = grown;
    answer->length += length;
    grown[answer->length] = '\0';
    return length;
}

/* The kernel takes paths of 107 bytes; a longer one is reached through its directory's descriptor. */
static int shorten(struct client *client, struct error *error)
{
    const char *slash = strrchr(client->socket, '/');
    if (strlen(client->socket) < sizeof client->short_path) {
        memcpy(client->short_path, client->socket, strlen(client->socket) + 1);
        return 0;
    }
    char *parent = slash != NULL ? strndup(client->socket, (size_t)(slash - client->socket)) : NULL;
    client->directory = parent != NULL ? open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    int reason = errno;
    free(parent);
    if (client->directory < 0)
        return error_set(error, "%s: %s", client->socket, strerror(reason));
    if (snprintf(client->short_path, sizeof client->short_path, "/proc/self/fd/%d%s", client->directory, slash) >=
        (int)sizeof client->short_path)
        return error_set(error, "%s: too long a name", client->socket);
    return 0;
}

static bool set_up(struct client *client)
{
    CURL *curl = client->curl;
    client->headers = curl_slist_append(NULL, "Content-Type: application/json");
    struct curl_slist *headers = curl_slist_append(client->headers, "Expect:");
    return headers != NULL && curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->short_path) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)CALL_TIMEOUT_S) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->reason) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take) == CURLE_OK;
}

struct client *client_new(const char *socket, struct error *error)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        (void)error_set(error, "out of memory");
        return NULL;
    }
    client->directory = -1;
    client->socket = strdup(socket);
    client->curl = curl_easy_init();
    (void)error_set(error, "out of memory");
    if (client->socket != NULL && client->curl != NULL && shorten(client, error) == 0 && set_up(client))
        return client;
    client_free(client);
    return NULL;
}

void client_free(struct client *client)
{
    if (client == NULL)
        return;
    if (client->curl != NULL)
        curl_easy_cleanup(client->curl);
    curl_slist_free_all(client->headers);
    if (client->directory >= 0)
        (void)close(client->directory);
    free(client->socket);
    free(client);
}

static int explain(struct client *client, CURLcode code, struct error *error)
{
    long number = 0;
    (void)curl_easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &number);
    if (code == CURLE_COULDNT_CONNECT)
        return error_set(error, "no tracker answers on %s: %s", client->socket,
                         number != 0 ? strerror((int)number) : "is privtrakd running?");
    return error_set(error, "%s: %s", client->socket,
                     client->reason[0] != '\0' ? client->reason : curl_easy_strerror(code));
}

int client_call(struct client *client, const char *method, const char *path, const char *body, long *status,
                char **text, struct error *error)
{
    struct answer answer = {NULL, 0};
    char *url = malloc(strlen(path) + 32);
    CURL *curl = client->curl;
    if (url == NULL)
        return error_set(error, "out of memory");
    (void)sprintf(url, "http://localhost%s", path);
    client->reason[0] = '\0';
    (void)curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    if (body != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
        (void)curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, body);
    }
    (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, url);
    if (code == CURLE_OK)
        code = curl_easy_perform(curl);
    free(url);
    if (code != CURLE_OK) {
        free(answer.text);
        return explain(client, code, error);
    }
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    *text = answer.text != NULL ? answer.text : strdup("");
    return *text != NULL ? 0 : error_set(error, "out of memory");
}
