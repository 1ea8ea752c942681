/* Libraries that only look like packages; their static record is put in by the tests. */
#include <stddef.h>
#include <stdint.h>

#if defined(NULL_REGISTRY)
const void *fidius_get_registry(void) { return NULL; }
#elif defined(GARBAGE_REGISTRY)
static const unsigned char garbage[4096] = {0xde, 0xad, 0xbe, 0xef, 0x55};
const void *fidius_get_registry(void) { return garbage; }
#elif defined(WILD_REGISTRY)
const void *fidius_get_registry(void) { return (const void *)0x10; }
#elif defined(DATA_SYMBOL)
const uint64_t fidius_get_registry = 0x1122334455667788u;
#elif defined(LYING_COUNT)
struct { char magic[8]; uint32_t version; uint32_t count; const void **plugins; } registry = {
    {'F', 'I', 'D', 'I', 'U', 'S', 0, 0}, 1, 0x40000000, (const void **)&registry};
const void *fidius_get_registry(void) { return &registry; }
#elif defined(NO_PLUGINS)
struct { char magic[8]; uint32_t version; uint32_t count; const void **plugins; } registry = {
    {'F', 'I', 'D', 'I', 'U', 'S', 0, 0}, 1, 0, NULL};
const void *fidius_get_registry(void) { return &registry; }
#else
int nothing_of_ours;
#endif
