/* index: see index.h. */
#include "storage/index.h"

#include <stdlib.h>
#include <string.h>

enum {
    LINE_BYTES = INDEX_LINE * sizeof(uint32_t),
    SEGMENT_ENTRIES = 256, /* on average: those that await their split hold up to twice as many */
    LEAST_REFERENCE_BITS = 8,
    REFERENCE_BITS_MAX = 26,
    LINES_MAX = UINT16_MAX,
    LINES_OF_CLASSES = 48, /* the largest of line_counts */
};
_Static_assert(INDEX_REFERENCE_MAX == (1 << REFERENCE_BITS_MAX) - 2, "the highest reference + 1 fits");

/* Lines of the segments that come from `memory`; larger ones, with very many references of one hash, from the heap. */
static const uint8_t line_counts[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 14,
                                      16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 40, 44, 48};
enum { CLASSES = sizeof line_counts };
_Static_assert(CLASSES <= (int)MEMORY_CLASSES, "memory has a class for each size of segments");

struct memory *index_memory_new(void)
{
    size_t sizes[CLASSES];
    for (unsigned i = 0; i < CLASSES; i++)
        sizes[i] = line_counts[i] * (size_t)LINE_BYTES;
    return memory_new(sizes, CLASSES);
}

void index_init(struct index *index, struct memory *memory)
{
    *index = (struct index){.memory = memory, .reference_bits = LEAST_REFERENCE_BITS};
}

/* --- memory of a segment --- */

/* At most nine tenths are used: there is always a line with room, where searches end, and it is soon found. */
static uint32_t most_entries(uint32_t lines)
{
    return lines * INDEX_LINE * 9 / 10;
}

/* The smallest class with room for so many entries; CLASSES: none has. */
static unsigned class_for(uint32_t entries)
{
    unsigned class = 0;
    while (class < CLASSES && most_entries(line_counts[class]) < entries)
        class += 1;
    return class;
}

static uint32_t lines_for(uint32_t entries)
{
    unsigned class = class_for(entries);
    return class < CLASSES ? line_counts[class] : entries / (INDEX_LINE / 2) + 1; /* beyond: half full */
}

static unsigned class_of_lines(uint32_t lines)
{
    unsigned class = 0;
    while (class < CLASSES && line_counts[class] != lines)
        class += 1;
    return class;
}

static uint32_t *take_lines(struct index *index, uint32_t lines)
{
    unsigned class = class_of_lines(lines);
    uint32_t *entries;
    if (index->memory != NULL && class < CLASSES)
        entries = memory_take(index->memory, class);
    else
        entries = lines > LINES_MAX ? NULL : aligned_alloc(LINE_BYTES, lines * (size_t)LINE_BYTES);
    if (entries == NULL)
        return NULL;
    memset(entries, 0, lines * (size_t)LINE_BYTES);
    index->lines += lines;
    return entries;
}

static void give_lines(struct index *index, uint32_t *entries, uint32_t lines)
{
    if (lines == 0)
        return;
    unsigned class = class_of_lines(lines);
    if (index->memory != NULL && class < CLASSES)
        memory_give(index->memory, class, entries);
    else
        free(entries);
    index->lines -= lines;
}

/* --- entries of a segment --- */

static uint32_t tag_mask(const struct index_segment *segment)
{
    return UINT32_MAX << segment->reference_bits;
}

static uint32_t *line_at(const struct index_segment *segment, uint32_t line)
{
    return segment->entries + (size_t)line * INDEX_LINE;
}

static uint32_t line_after(const struct index_segment *segment, uint32_t line)
{
    return line + 1 == segment->lines ? 0 : line + 1;
}

static uint32_t home_of(const struct index_segment *segment, uint32_t entry)
{
    return index_home(entry & tag_mask(segment), segment->lines);
}

static bool is_full(const uint32_t *line)
{
    return line[INDEX_LINE - 1] != 0;
}

/* How many entries of the line are used: they stand at its beginning. */
static unsigned used_of(const uint32_t *line)
{
    uint32_t unused = index_fitting(line, 0, UINT32_MAX);
    return unused == 0 ? INDEX_LINE : (unsigned)__builtin_ctz(unused);
}

/* There is room. */
static void put(struct index_segment *segment, uint32_t entry)
{
    uint32_t line = home_of(segment, entry);
    while (is_full(line_at(segment, line)))
        line = line_after(segment, line);
    uint32_t *entries = line_at(segment, line);
    entries[used_of(entries)] = entry;
    segment->used++;
}

/* The same entry where references take more bits: the tag loses its lowest. */
static uint32_t convert(uint32_t entry, unsigned from_bits, unsigned to_bits)
{
    uint32_t reference = entry & ~(UINT32_MAX << from_bits);
    return (entry & UINT32_MAX << from_bits & UINT32_MAX << to_bits) | reference;
}

/* How wide references are in a segment of so many lines that takes over another's entries: never less than there. */
static uint8_t bits_for(const struct index *index, const struct index_segment *old, uint32_t lines)
{
    if (lines > LINES_OF_CLASSES)
        return REFERENCE_BITS_MAX; /* so that `widen` need not work on the very large */
    return old->reference_bits > index->reference_bits ? old->reference_bits : index->reference_bits;
}

/* A segment that is filled anew: how many entries its lines have is known without looking at them. */
struct filling {
    struct index_segment *segment; /* its lines are empty at first */
    uint8_t used[LINES_OF_CLASSES];
};

static void fill(struct filling *filling, uint32_t entry)
{
    struct index_segment *segment = filling->segment;
    if (segment->lines > LINES_OF_CLASSES) {
        put(segment, entry);
        return;
    }
    uint32_t line = home_of(segment, entry);
    while (filling->used[line] == INDEX_LINE)
        line = line_after(segment, line);
    line_at(segment, line)[filling->used[line]++] = entry;
    segment->used++;
}

static void put_all(struct index_segment *segment, const uint32_t *entries, uint32_t lines, unsigned bits)
{
    struct filling filling = {.segment = segment};
    for (uint32_t i = 0; i < lines * INDEX_LINE; i++)
        if (entries[i] != 0)
            fill(&filling, convert(entries[i], bits, segment->reference_bits));
}

/* Puts all entries into lines for `room` entries. */
static int rebuild(struct index *index, struct index_segment *segment, uint32_t room)
{
    uint32_t lines = room == 0 ? 0 : lines_for(room);
    struct index_segment fresh = {.lines = (uint16_t)lines, .reference_bits = bits_for(index, segment, lines)};
    if (lines > 0 && (fresh.entries = take_lines(index, lines)) == NULL)
        return -1;
    put_all(&fresh, segment->entries, segment->lines, segment->reference_bits);
    give_lines(index, segment->entries, segment->lines);
    *segment = fresh;
    return 0;
}

/* Makes room for references of the index's present width, where the entries stand: needs no memory. */
static void widen(const struct index *index, struct index_segment *segment)
{
    uint32_t kept[LINES_OF_CLASSES * INDEX_LINE];
    size_t bytes = segment->lines * (size_t)LINE_BYTES;
    if (bytes == 0) {
        segment->reference_bits = index->reference_bits;
        return;
    }
    memcpy(kept, segment->entries, bytes);
    memset(segment->entries, 0, bytes);
    unsigned bits = segment->reference_bits;
    segment->reference_bits = index->reference_bits;
    segment->used = 0;
    put_all(segment, kept, segment->lines, bits);
}

static bool fits(const struct index_segment *segment, uint32_t reference)
{
    return (reference + 1) >> segment->reference_bits == 0;
}

/* The place of that very entry. */
static uint32_t *find(const struct index_segment *segment, uint64_t hash, uint32_t reference, uint32_t *line)
{
    uint32_t entry = ((uint32_t)(hash >> 32) & tag_mask(segment)) | (reference + 1);
    for (*line = home_of(segment, entry);; *line = line_after(segment, *line)) {
        uint32_t *entries = line_at(segment, *line);
        for (unsigned i = 0; i < INDEX_LINE; i++)
            if (entries[i] == entry)
                return &entries[i];
    }
}

/* How many lines a search comes from line `from` to line `to`. */
static uint32_t distance(const struct index_segment *segment, uint32_t from, uint32_t to)
{
    return to >= from ? to - from : to + segment->lines - from;
}

/* An entry of the line that came over line `over` on its way from its home; NULL: none. */
static uint32_t *strayed_over(const struct index_segment *segment, uint32_t over, uint32_t line)
{
    uint32_t *entries = line_at(segment, line);
    for (unsigned i = 0; i < INDEX_LINE && entries[i] != 0; i++)
        if (distance(segment, home_of(segment, entries[i]), line) >= distance(segment, over, line))
            return &entries[i];
    return NULL;
}

/* Takes an entry out of its line, whose last one goes to its place. */
static void take_out(uint32_t *entries, uint32_t *place)
{
    uint32_t *last = &entries[used_of(entries) - 1];
    *place = *last;
    *last = 0;
}

/* Line `gap`, which was full, has room: searches would end there. Who strayed over it comes back, and so on. */
static void close_gap(struct index_segment *segment, uint32_t gap)
{
    uint32_t line = gap;
    bool was_full;
    do {
        line = line_after(segment, line);
        if (line == gap)
            return;
        was_full = is_full(line_at(segment, line));
        uint32_t *strayed = strayed_over(segment, gap, line);
        if (strayed != NULL) {
            line_at(segment, gap)[INDEX_LINE - 1] = *strayed;
            take_out(line_at(segment, line), strayed);
            gap = line;
        }
    } while (was_full);
}

/* --- the index --- */

static struct index_segment *take_row(struct index *index, uint32_t room)
{
    size_t bytes = room * sizeof(struct index_segment);
    return index->memory != NULL ? memory_take_block(index->memory, bytes) : malloc(bytes);
}

static void give_row(struct index *index)
{
    if (index->memory != NULL)
        memory_give_block(index->memory, index->segments, index->segment_room * sizeof(struct index_segment));
    else
        free(index->segments);
}

/* The segments' places stand in a row, so that finding one is no walk: some bytes for each of some hundred entries. */
static int reserve(struct index *index, uint32_t segments)
{
    if (segments <= index->segment_room)
        return 0;
    uint32_t room = segments + segments / 2 + 2;
    struct index_segment *larger = take_row(index, room);
    if (larger == NULL)
        return -1;
    if (index->segment_count > 0)
        memcpy(larger, index->segments, index->segment_count * sizeof *larger);
    give_row(index);
    index->segments = larger;
    index->segment_room = room;
    return 0;
}

/* Adds a segment and gives it its share of the one that it splits. */
static int split(struct index *index, index_hash_fn *hash_of, const void *owner)
{
    uint32_t number = index->segment_count;
    if (reserve(index, number + 1) != 0)
        return -1;
    uint32_t mask = UINT32_MAX >> __builtin_clz(number);
    struct index_segment *old = &index->segments[number & mask >> 1];
    struct index_segment halves[2];
    for (int i = 0; i < 2; i++) {
        uint32_t lines = lines_for(old->used); /* for one that gets all of them; fitted below */
        halves[i] = (struct index_segment){.lines = (uint16_t)lines, .reference_bits = bits_for(index, old, lines)};
        halves[i].entries = take_lines(index, halves[i].lines);
        if (halves[i].entries == NULL) {
            give_lines(index, halves[0].entries, i == 0 ? 0 : halves[0].lines);
            return -1;
        }
    }
    struct filling fillings[2] = {{.segment = &halves[0]}, {.segment = &halves[1]}};
    for (uint32_t i = 0; i < old->lines * (uint32_t)INDEX_LINE; i++)
        if (old->entries[i] != 0) {
            uint32_t reference = (old->entries[i] & ~tag_mask(old)) - 1;
            struct filling *half = &fillings[((uint32_t)hash_of(owner, reference) & mask) == number];
            fill(half, convert(old->entries[i], old->reference_bits, half->segment->reference_bits));
        }
    give_lines(index, old->entries, old->lines);
    *old = halves[0];
    index->segments[number] = halves[1];
    index->segment_count++;
    (void)rebuild(index, old, old->used); /* out of memory: more room than needed does no harm */
    (void)rebuild(index, &index->segments[number], halves[1].used);
    return 0;
}

static int reserve_first(struct index *index)
{
    if (index->segment_count > 0)
        return 0;
    if (reserve(index, 1) != 0)
        return -1;
    index->segments[0] = (struct index_segment){.reference_bits = index->reference_bits};
    index->segment_count = 1;
    return 0;
}

int index_admit(struct index *index, uint32_t reference)
{
    if (reference > INDEX_REFERENCE_MAX)
        return -1;
    while ((reference + 1) >> index->reference_bits != 0)
        index->reference_bits++;
    return 0;
}

int index_add(struct index *index, uint64_t hash, uint32_t reference, index_hash_fn *hash_of, const void *owner)
{
    if (index_admit(index, reference) != 0 || reserve_first(index) != 0)
        return -1;
    if (index->count >= index->segment_count * SEGMENT_ENTRIES && split(index, hash_of, owner) != 0)
        return -1;
    struct index_segment *segment = (struct index_segment *)index_segment_of(index, hash);
    if (segment->used >= most_entries(segment->lines) && rebuild(index, segment, segment->used + 1u) != 0)
        return -1;
    if (!fits(segment, reference))
        widen(index, segment);
    put(segment, ((uint32_t)(hash >> 32) & tag_mask(segment)) | (reference + 1));
    index->count++;
    return 0;
}

void index_clear(struct index *index)
{
    for (uint32_t i = 0; i < index->segment_count; i++)
        give_lines(index, index->segments[i].entries, index->segments[i].lines);
    give_row(index);
    index_init(index, index->memory);
}

void index_remove(struct index *index, uint64_t hash, uint32_t reference)
{
    struct index_segment *segment = (struct index_segment *)index_segment_of(index, hash);
    uint32_t line;
    uint32_t *place = find(segment, hash, reference, &line);
    bool was_full = is_full(line_at(segment, line));
    take_out(line_at(segment, line), place);
    if (was_full)
        close_gap(segment, line);
    segment->used--;
    index->count--;
    if (segment->used == 0 || segment->used * 2u < most_entries(segment->lines))
        (void)rebuild(index, segment, segment->used); /* out of memory: stays as it is */
}

void index_renumber(struct index *index, uint64_t hash, uint32_t from, uint32_t to)
{
    struct index_segment *segment = (struct index_segment *)index_segment_of(index, hash);
    uint32_t line;
    if (!fits(segment, to))
        widen(index, segment);
    uint32_t *place = find(segment, hash, from, &line);
    *place = (*place & tag_mask(segment)) | (to + 1);
}

uint32_t index_in_segment(const struct index *index, uint32_t segment, uint32_t *at)
{
    if (segment >= index->segment_count)
        return INDEX_NONE;
    const struct index_segment *these = &index->segments[segment];
    while (*at < these->lines * (uint32_t)INDEX_LINE) {
        uint32_t entry = these->entries[(*at)++];
        if (entry != 0)
            return (entry & ~tag_mask(these)) - 1;
    }
    return INDEX_NONE;
}
