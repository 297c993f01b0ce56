/* journal_instance: the name of a journal, kept in state_dir/instance beside the segments that all carry it. */
#include "deltas/journal_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "deltas/state_file.h"

static int instance_path(char *path, size_t size, const char *state_dir, struct error *error)
{
    int length = snprintf(path, size, "%s/instance", state_dir);
    return length < 0 || (size_t)length >= size ? error_set(error, "%s: the name is too long", state_dir) : 0;
}

int journal_instance_read(const char *state_dir, char instance[static INSTANCE_BYTES], struct error *error)
{
    char path[4096];
    char text[64];
    if (instance_path(path, sizeof(path), state_dir, error) != 0)
        return -1;
    ssize_t length = state_file_read(path, text, sizeof(text), error);
    if (length < 0)
        return length == -ENOENT ? 1 : -1;
    uint8_t bytes[16];
    if (length != 33 || text[32] != '\n' || !hex_decode(bytes, sizeof(bytes), text, 32))
        return error_set(error,
                         "%s: found no 32 hex digits and a line's end; restore it from a backup, or remove it "
                         "together with the journal's folder",
                         path);
    hex_encode(instance, bytes, sizeof(bytes));
    return 0;
}

int journal_instance_write(const char *state_dir, const char *instance, struct error *error)
{
    char path[4096];
    char text[INSTANCE_BYTES + 1];
    if (instance_path(path, sizeof(path), state_dir, error) != 0)
        return -1;
    (void)snprintf(text, sizeof(text), "%s\n", instance);
    return state_file_write(path, text, strlen(text), error);
}

int journal_instance_make(const char *state_dir, char instance[static INSTANCE_BYTES], struct error *error)
{
    uint8_t bytes[16];
    if (sodium_init() < 0)
        return error_set(error, "no random numbers: sodium_init failed");
    randombytes_buf(bytes, sizeof(bytes));
    hex_encode(instance, bytes, sizeof(bytes));
    return journal_instance_write(state_dir, instance, error);
}
