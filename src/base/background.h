/*
 * background: threads beside the workers. Where there are fewer cores than threads they take turns with the workers,
 * by the kernel's usual slices for milliseconds each, in which announces wait.
 */
#ifndef PRIVTRAK_BASE_BACKGROUND_H
#define PRIVTRAK_BASE_BACKGROUND_H

/* From now on the calling thread goes on for a short while only where another wants its core. */
void background_short_turns(void);

enum { BACKGROUND_NICER_BY = 10 };

/* The same, and it is 10 nicer than the process: a worker that has something to do goes before it. */
void background_give_way(void);

#endif
