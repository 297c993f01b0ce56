/* cpu: see cpu.h. */
#include "bench/cpu.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int cpu_pin(const struct cpu_list *list, size_t index, struct error *error)
{
    if (list->count == 0)
        return 0;
    unsigned cpu = list->items[index % list->count];
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    int code = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    return code == 0 ? 0 : error_set(error, "CPU %u: %s", cpu, strerror(code));
}

int64_t cpu_thread_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* "worker-12" and "worker-3" are of one kind. */
static void cut_number(char *name)
{
    size_t length = strlen(name);
    size_t end = length;
    while (end > 0 && isdigit((unsigned char)name[end - 1]))
        end--;
    if (end < length && end > 1 && name[end - 1] == '-')
        name[end - 1] = '\0';
}

static struct cpu_group *find_group(struct cpu_usage *usage, const char *name)
{
    for (size_t i = 0; i < usage->count; i++) {
        if (strcmp(usage->groups[i].name, name) == 0)
            return &usage->groups[i];
    }
    if (usage->count == CPU_NAMES_MAX)
        return NULL;
    struct cpu_group *group = &usage->groups[usage->count++];
    *group = (struct cpu_group){0};
    (void)snprintf(group->name, sizeof group->name, "%s", name);
    return group;
}

/* Adds one thread. It may end while it is looked at: then it is left out. */
static void add_thread(struct cpu_usage *usage, const char *directory, const char *thread)
{
    char path[128];
    char name[16] = "";
    int64_t ns = 0;

    (void)snprintf(path, sizeof path, "%s/%.20s/comm", directory, thread);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    if (fgets(name, sizeof name, file) != NULL)
        name[strcspn(name, "\n")] = '\0';
    (void)fclose(file);
    cut_number(name);

    (void)snprintf(path, sizeof path, "%s/%.20s/schedstat", directory, thread);
    file = fopen(path, "re");
    if (file == NULL)
        return;
    int read = fscanf(file, "%" SCNd64, &ns);
    (void)fclose(file);
    struct cpu_group *group = read == 1 ? find_group(usage, name) : NULL;
    if (group != NULL) {
        group->threads++;
        group->ns += ns;
    }
}

int cpu_usage_read(struct cpu_usage *usage, pid_t pid, struct error *error)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *directory = opendir(path);
    if (directory == NULL)
        return error_set(error, "process %d: %s", (int)pid, strerror(errno));
    usage->count = 0;
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        if (entry->d_name[0] != '.')
            add_thread(usage, path, entry->d_name);
    }
    (void)closedir(directory);
    if (usage->count == 0)
        return error_set(error, "process %d: no CPU times in %s/*/schedstat", (int)pid, path);
    return 0;
}

void cpu_usage_subtract(struct cpu_usage *later, const struct cpu_usage *earlier)
{
    for (size_t i = 0; i < later->count; i++) {
        struct cpu_group *group = &later->groups[i];
        for (size_t j = 0; j < earlier->count; j++) {
            if (strcmp(earlier->groups[j].name, group->name) == 0)
                group->ns -= earlier->groups[j].ns;
        }
        if (group->ns < 0) /* threads of it have ended meanwhile */
            group->ns = 0;
    }
}
