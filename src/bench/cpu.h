/*
 * cpu: pins threads to cores, and reads how much CPU time threads have used:
 * one's own by the thread clock, another process's by name from /proc.
 */
#ifndef PRIVTRAK_BENCH_CPU_H
#define PRIVTRAK_BENCH_CPU_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "bench/options.h"

/* Pins the calling thread to a CPU of the list, thread number `index` in turn. Does nothing for an empty list. */
int cpu_pin(const struct cpu_list *list, size_t index, struct error *error);

/* CPU time that the calling thread has used. */
int64_t cpu_thread_ns(void);

enum { CPU_NAMES_MAX = 64 };

/* The CPU time of a process, summed over the threads of one name; worker-0, worker-1, … make one group, worker. */
struct cpu_group {
    char name[16];
    uint32_t threads;
    int64_t ns;
};

struct cpu_usage {
    struct cpu_group groups[CPU_NAMES_MAX];
    size_t count;
};

/* Returns 0, or -1 with a reason where there is no such process or its threads cannot be read. */
int cpu_usage_read(struct cpu_usage *usage, pid_t pid, struct error *error);

/* What was used between two readings; a thread group that is new counts from zero. */
void cpu_usage_subtract(struct cpu_usage *later, const struct cpu_usage *earlier);

#endif
