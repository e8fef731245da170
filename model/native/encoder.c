/* The 8-bit encoder of a bundle, written out for x86 processors: what model/native_encoder.py calls.
 *
 * A runtime runs a graph operator by operator, and each one writes its result to memory for the next one to read. Here
 * what follows a product (scale, bias, sum, GELU, rounding to 8 bits) is done while its results are in registers, texts
 * lie one after the other without padding, and attention reads one head of one text at a time out of the cache. The
 * arithmetic is that of the graph: products in integers, everything else in floats; GELU and exponential are within
 * 4e-5 and 2e-7 of theirs.
 *
 * kernel.h is compiled once for each set of instructions; amends_best says which of them this machine can run.
 */

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define HERE 1
#else
#define HERE 0
#endif

#if HERE
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Structures and enumerations have their like in model/native_encoder.py. */

typedef struct {
    const int8_t *weight; /* strips of COLUMNS outputs; in a strip four inputs of each output lie side by side */
    const int32_t *start; /* for each output: -zero times the sum of its weights */
    const float *scale, *bias;
    int32_t inputs, outputs;
} Product;

typedef struct {
    const float *weight, *bias;
} Norm;

typedef struct {
    Norm rounded[2]; /* of the sum before attention and before the feed-forward part: divided by the step of 8 bits */
    Norm kept[2];    /* the same in floats, for the sums that follow */
    Product attention, output, inner, outer;
    const float *factor; /* of each input of `outer`, by which it becomes a number of steps */
    float seen_factor, seen_zero, inner_zero; /* seen: what attention gives */
} Layer;

typedef struct {
    const uint16_t *words; /* halves (vocabulary, width) */
    const float *places;   /* (positions, width) */
    Norm last;
    const Layer *layers;
    int32_t n_layers, width, inner, heads;
    float epsilon;
} Model;

enum { PLAIN, ADDED, GELU };                       /* what follows a product */
enum { PRODUCTS, ATTENTION, NORMS, WORDS, PARTS }; /* where the time goes */
enum { HEAD = 32, QUERIES = 4, LARGEST_LANES = 16 };

#define INLINE static inline __attribute__((always_inline))
/* A function of its own: only then does the compiler keep the sums of a tile in registers. */
#define APART static __attribute__((noinline))
#define UNROLL _Pragma("GCC unroll 32")
#define JOINED(name, suffix) name##suffix
#define NAMED(name, suffix) JOINED(name, suffix)
#define NAME(name) NAMED(name, SUFFIX)

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#define SUFFIX _avx512vnni
#define LANES 16
#define VECTORS 4
#include "kernel.h"
#undef SUFFIX
#undef LANES
#undef VECTORS
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#define SUFFIX _avx2
#define LANES 8
#define VECTORS 2
#include "kernel.h"
#undef SUFFIX
#undef LANES
#undef VECTORS
#pragma GCC pop_options
#endif

/* Outputs of a strip for the best kernel that this machine runs: 64 with AVX-512 VNNI, 16 with AVX2, 0 for none. */
int amends_best(void) {
#if HERE
    __builtin_cpu_init();
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    if (avx2 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return 64;
    if (avx2) return 16;
#endif
    return 0;
}

#if HERE
/* Bytes that amends_encode works in, for texts of so many tokens together and the longest of them. */
size_t amends_room(const Model *m, int32_t tokens, int32_t longest) {
    const size_t padded = (longest + LARGEST_LANES - 1) / LARGEST_LANES * LARGEST_LANES;
    return (size_t)tokens * (5 * 4 * m->width + m->width + m->inner) + 4 * padded * (HEAD + QUERIES) + 64;
}

/* ids of all texts one after the other (tokens,), tokens of each text (texts,) -> states (tokens, width).
 * strip: the kernel, as amends_best calls it. room: of amends_room bytes. ticks: PARTS counters to add to, or NULL. */
void amends_encode(const Model *m, int32_t strip, const int32_t *ids, const int32_t *lengths, int32_t texts, float *states,
                   char *room, uint64_t *ticks) {
    uint64_t unread[PARTS] = {0};
    if (!ticks) ticks = unread;
    if (strip == 64)
        encode_avx512vnni(m, ids, lengths, texts, states, room, ticks);
    else
        encode_avx2(m, ids, lengths, texts, states, room, ticks);
}
#endif
