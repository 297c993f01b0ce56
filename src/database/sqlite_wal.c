/*
 * sqlite_wal: how the write-ahead log is written. The library writes each page by two calls, and a commit's pages only
 * meet the disk when it is synced. Here pages are gathered, written many at a time, and the kernel is told to begin with
 * them at once, so that the disk works while the rest is on its way.
 *
 * What is promised stays the library's: nothing is held back beyond a sync of the log, nor beyond the moment in which
 * others learn of its pages (the barrier while the log's index is written). What is left when the lock for writing is
 * given back is of a transaction that was rolled back; it is dropped, for the next may be another program's.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "database/sqlite.h"

enum {
    BLOCK_BYTES = 4096,
    GATHERED_BYTES = 31 * BLOCK_BYTES, /* the library passes at most 128 KiB - 1 to one call of the kernel */
    BEGIN_BYTES = 1024 * 1024,         /* what the kernel is told to begin with */
    WRITE_LOCK = 0,                    /* the place of the lock for writing in the log's index: of the file format */
};

/* The database's file, or its log. Behind it stands the file of the layer below. */
struct layer_file {
    sqlite3_file file; /* first: it is what the library has */
    sqlite3_file *below;
    struct layer_file *other; /* the database's log, the log's database; NULL: is not open, or not through here */

    /* Of the log. */
    bool gathers;
    char *gathered; /* NULL: none yet, or out of memory */
    sqlite3_int64 begin;
    int length;
    sqlite3_int64 begun; /* what was written and stands before this is on its way to the disk */
    int fd;              /* -1: none, and the kernel begins when it wants to */
};

static sqlite3_vfs *below_vfs, layer_vfs;

static const sqlite3_io_methods *below_methods(const struct layer_file *layer)
{
    return layer->below->pMethods;
}

static int write_below(struct layer_file *wal, int length)
{
    int code = below_methods(wal)->xWrite(wal->below, wal->gathered, length, wal->begin);
    sqlite3_int64 end = wal->begin + length;
    if (wal->begun > wal->begin)
        wal->begun = wal->begin;
    if (code == SQLITE_OK && wal->fd >= 0 && end - wal->begun >= BEGIN_BYTES) {
        (void)sync_file_range(wal->fd, wal->begun, end - wal->begun, SYNC_FILE_RANGE_WRITE);
        wal->begun = end;
    }
    return code;
}

/* After a failure nothing of it is left: the library rolls the transaction back. */
static int flush(struct layer_file *layer)
{
    int length = layer->length;
    layer->length = 0;
    return length > 0 ? write_below(layer, length) : SQLITE_OK;
}

/* What is full is written up to the end of a block, so that no block is on its way to the disk while more comes for it. */
static int make_room(struct layer_file *wal)
{
    int rest = (int)((wal->begin + wal->length) % BLOCK_BYTES);
    int whole = wal->length - rest;
    if (whole <= 0)
        return flush(wal);
    int code = write_below(wal, whole);
    if (code == SQLITE_OK)
        memmove(wal->gathered, wal->gathered + whole, (size_t)rest);
    wal->begin += whole;
    wal->length = code == SQLITE_OK ? rest : 0;
    return code;
}

static int gather(struct layer_file *wal, const void *bytes, int length, sqlite3_int64 offset)
{
    int code = SQLITE_OK;
    if (wal->length > 0 && offset != wal->begin + wal->length)
        code = flush(wal);
    if (code == SQLITE_OK && wal->length > 0 && length > GATHERED_BYTES - wal->length)
        code = make_room(wal);
    if (code == SQLITE_OK && length > GATHERED_BYTES - wal->length)
        code = flush(wal);
    if (code != SQLITE_OK)
        return code;
    if (length > GATHERED_BYTES)
        return below_methods(wal)->xWrite(wal->below, bytes, length, offset);
    if (wal->length == 0)
        wal->begin = offset;
    memcpy(wal->gathered + wal->length, bytes, (size_t)length);
    wal->length += length;
    return SQLITE_OK;
}

static int layer_write(sqlite3_file *file, const void *bytes, int length, sqlite3_int64 offset)
{
    struct layer_file *layer = (struct layer_file *)file;
    if (layer->gathers && !layer->gathered)
        layer->gathered = malloc(GATHERED_BYTES);
    if (layer->gathered)
        return gather(layer, bytes, length, offset);
    return below_methods(layer)->xWrite(layer->below, bytes, length, offset);
}

static int layer_read(sqlite3_file *file, void *bytes, int length, sqlite3_int64 offset)
{
    struct layer_file *layer = (struct layer_file *)file;
    int code = flush(layer);
    return code == SQLITE_OK ? below_methods(layer)->xRead(layer->below, bytes, length, offset) : code;
}

static int layer_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct layer_file *layer = (struct layer_file *)file;
    int code = flush(layer);
    return code == SQLITE_OK ? below_methods(layer)->xTruncate(layer->below, size) : code;
}

static int layer_sync(sqlite3_file *file, int flags)
{
    struct layer_file *layer = (struct layer_file *)file;
    int code = flush(layer);
    return code == SQLITE_OK ? below_methods(layer)->xSync(layer->below, flags) : code;
}

static int layer_size(sqlite3_file *file, sqlite3_int64 *size)
{
    struct layer_file *layer = (struct layer_file *)file;
    int code = flush(layer);
    return code == SQLITE_OK ? below_methods(layer)->xFileSize(layer->below, size) : code;
}

static int layer_close(sqlite3_file *file)
{
    struct layer_file *layer = (struct layer_file *)file;
    if (layer->other)
        layer->other->other = NULL;
    free(layer->gathered);
    if (layer->fd >= 0)
        (void)close(layer->fd);
    return below_methods(layer)->xClose(layer->below);
}

static int layer_lock(sqlite3_file *file, int lock)
{
    struct layer_file *layer = (struct layer_file *)file;
    return below_methods(layer)->xLock(layer->below, lock);
}

static int layer_unlock(sqlite3_file *file, int lock)
{
    struct layer_file *layer = (struct layer_file *)file;
    return below_methods(layer)->xUnlock(layer->below, lock);
}

static int layer_is_locked(sqlite3_file *file, int *is_locked)
{
    struct layer_file *layer = (struct layer_file *)file;
    return below_methods(layer)->xCheckReservedLock(layer->below, is_locked);
}

static int layer_control(sqlite3_file *file, int operation, void *argument)
{
    struct layer_file *layer = (struct layer_file *)file;
    return below_methods(layer)->xFileControl(layer->below, operation, argument);
}

static int layer_sector_size(sqlite3_file *file)
{
    struct layer_file *layer = (struct layer_file *)file;
    return below_methods(layer)->xSectorSize(layer->below);
}

static int layer_characteristics(sqlite3_file *file)
{
    struct layer_file *layer = (struct layer_file *)file;
    return below_methods(layer)->xDeviceCharacteristics(layer->below);
}

static int layer_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **map)
{
    struct layer_file *layer = (struct layer_file *)file;
    const sqlite3_io_methods *below = below_methods(layer);
    bool can = below->iVersion >= 2 && below->xShmMap;
    return can ? below->xShmMap(layer->below, region, size, extend, map) : SQLITE_IOERR_SHMMAP;
}

static int layer_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    struct layer_file *layer = (struct layer_file *)file;
    if ((flags & SQLITE_SHM_UNLOCK) && offset == WRITE_LOCK && layer->other)
        layer->other->length = 0;
    return below_methods(layer)->xShmLock(layer->below, offset, count, flags);
}

static void layer_shm_barrier(sqlite3_file *file)
{
    struct layer_file *layer = (struct layer_file *)file;
    /* With synchronous=FULL, which all handles have, the sync has left nothing that could fail here. */
    if (layer->other)
        (void)flush(layer->other);
    below_methods(layer)->xShmBarrier(layer->below);
}

static int layer_shm_unmap(sqlite3_file *file, int remove)
{
    struct layer_file *layer = (struct layer_file *)file;
    return below_methods(layer)->xShmUnmap(layer->below, remove);
}

/* Version 2 of the methods: without those that map the database's file, which nobody asks for. */
static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = layer_close,
    .xRead = layer_read,
    .xWrite = layer_write,
    .xTruncate = layer_truncate,
    .xSync = layer_sync,
    .xFileSize = layer_size,
    .xLock = layer_lock,
    .xUnlock = layer_unlock,
    .xCheckReservedLock = layer_is_locked,
    .xFileControl = layer_control,
    .xSectorSize = layer_sector_size,
    .xDeviceCharacteristics = layer_characteristics,
    .xShmMap = layer_shm_map,
    .xShmLock = layer_shm_lock,
    .xShmBarrier = layer_shm_barrier,
    .xShmUnmap = layer_shm_unmap,
};

/*
 * It gathers only where the database's file is open through here. Not on a disk that may damage what stands beside a write:
 * there the library writes on after its sync.
 */
static void begin_log(struct layer_file *wal, const char *name)
{
    struct layer_file *database = (struct layer_file *)sqlite3_database_file_object(name);
    if (!database || database->file.pMethods != &methods || database->other ||
        !(layer_characteristics(&wal->file) & SQLITE_IOCAP_POWERSAFE_OVERWRITE))
        return;
    wal->other = database;
    database->other = wal;
    wal->gathers = true;
    wal->fd = open(name, O_RDONLY | O_CLOEXEC);
}

/* Other files, of the library's temporary data, are the library's own. */
static int layer_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *flags_out)
{
    (void)vfs;
    if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
        return below_vfs->xOpen(below_vfs, name, file, flags, flags_out);
    struct layer_file *layer = (struct layer_file *)file;
    *layer = (struct layer_file){.below = (sqlite3_file *)(layer + 1), .fd = -1};
    int code = below_vfs->xOpen(below_vfs, name, layer->below, flags, flags_out);
    if (code != SQLITE_OK)
        return code;
    layer->file.pMethods = &methods;
    if (flags & SQLITE_OPEN_WAL)
        begin_log(layer, name);
    return code;
}

static void register_layer(void)
{
    below_vfs = sqlite3_vfs_find(NULL);
    if (!below_vfs)
        return;
    layer_vfs = *below_vfs;
    layer_vfs.zName = SQLITE_WAL_LAYER;
    layer_vfs.pNext = NULL;
    layer_vfs.szOsFile = (int)sizeof(struct layer_file) + below_vfs->szOsFile;
    layer_vfs.xOpen = layer_open;
    (void)sqlite3_vfs_register(&layer_vfs, 0);
}

const char *sqlite_wal_layer(void)
{
    static pthread_once_t registered = PTHREAD_ONCE_INIT;
    (void)pthread_once(&registered, register_layer);
    return sqlite3_vfs_find(SQLITE_WAL_LAYER) ? SQLITE_WAL_LAYER : NULL;
}
