/*
 * control: the page that the driver (tests/torture/faults.py) and the library in the daemon share. 64-bit words, each written
 * whole; the driver writes what the library is to do, the library counts.
 */
#ifndef PRIVTRAK_TESTS_FAULTS_CONTROL_H
#define PRIVTRAK_TESTS_FAULTS_CONTROL_H

#include <stdint.h>

/* Kinds of calls, as bits of `kinds`. */
enum fault_kind {
    FAULT_WRITE,    /* write, pwrite, writev, pwritev */
    FAULT_SYNC,     /* fsync, fdatasync, sync_file_range */
    FAULT_RENAME,   /* rename, renameat */
    FAULT_TRUNCATE, /* ftruncate, fallocate */
    FAULT_OPEN,     /* open, openat */
    FAULT_UNLINK,   /* unlink, unlinkat */
    FAULT_SEND,     /* send, sendto, sendmsg, sendmmsg, and write and writev on a socket */
    FAULT_KINDS,
};

/* What becomes of a call: 0 nothing; above 0 it fails with that errno; below 0: */
enum fault_action {
    FAULT_SHORT = -1,       /* half of it is done (of a sync, rename, …: it fails with EINTR) */
    FAULT_KILL_BEFORE = -2, /* SIGKILL, nothing of it is done */
    FAULT_KILL_AFTER = -3,  /* SIGKILL when it is done */
    FAULT_KILL_WITHIN = -4, /* SIGKILL when half of it is done */
};

struct fault_control {
    int64_t kinds;           /* which are counted in `calls` and may fail */
    int64_t first;           /* the first that fails, counted from 1; 0: none */
    int64_t burst;           /* so many one after another, */
    int64_t period;          /* and again after so many; 0: not again */
    int64_t action;          /* enum fault_action or an errno */
    int64_t clock_offset_ns; /* added to the wall clock */
    int64_t calls;           /* of `kinds` so far */
    int64_t hits;            /* calls that were made to fail */
    int64_t last_kind;       /* of the last hit */
    int64_t counts[FAULT_KINDS];
};

#endif
