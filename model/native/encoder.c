/* The encoder of a bundle in 8 bits or bfloat16, written out for x86 processors: what model/native_encoder.py calls.
 *
 * A runtime runs a graph operator by operator, and each one writes its result to memory for the next one to read. Here
 * what follows a product (scale, bias, sum, GELU, rounding) is done while its results are at hand, texts
 * lie one after the other without padding, and attention reads one head of one text at a time out of the cache. The
 * arithmetic is that of the graph: products with weights in integers (or in bfloat16 with sums in floats), everything else
 * in floats; GELU and exponential are within 4e-5 and 2e-7 of theirs. With AMX the products of attention are in bfloat16 too,
 * and its exponential is within 3e-6.
 *
 * kernel.h is compiled once for each set of instructions; amends_best and amends_bfloat say which of them this machine can run.
 */

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define HERE 1
#else
#define HERE 0
#endif

/* Earlier compilers don't know its instructions. */
#if HERE && defined(__linux__) && __GNUC__ >= 11
#define KNOWS_AMX 1
#include <sys/syscall.h>
#include <unistd.h>
#else
#define KNOWS_AMX 0
#endif

#if HERE
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Structures and enumerations have their like in model/native_encoder.py. */

typedef struct {
    const int8_t *weight; /* strips of COLUMNS outputs; in a strip four bytes of each output's inputs lie side by side */
    const int32_t *start; /* what sums begin with: for each output -zero times the sum of its weights */
    const float *scale, *bias;
    int32_t inputs, outputs;
} Product;

typedef struct {
    const float *weight, *bias;
} Norm;

typedef struct {
    Norm rounded[2]; /* of the sum before attention and before the feed-forward part: divided by the step of 8 bits (1 in bfloat16) */
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

enum { NONE, AVX2, AVX512, AMX, AMX_BFLOAT };       /* kernels, of those of 8 bits the better the later */
enum { PLAIN, ADDED, GELU };                       /* what follows a product */
enum { PRODUCTS, ATTENTION, NORMS, WORDS, PARTS }; /* where the time goes */
enum { HEAD = 32, MOST_QUERIES = 8 };

/* Rows that hold so many of them in whole blocks of two tiles: AMX reads all of these. */
static size_t whole_blocks(size_t rows) { return (rows + 31) / 32 * 32; }

/* Bytes that attention works in for a text of so many tokens, whichever way it goes about. */
static size_t attention_room(size_t tokens) {
    const size_t vectors = 4 * (HEAD + MOST_QUERIES), matrices = 64 + 64 + 4 * 16 + 2 * 16;
    return whole_blocks(tokens) * (vectors > matrices ? vectors : matrices) + 5 * 1024;
}

#define INLINE static inline __attribute__((always_inline))
/* A function of its own: only then does the compiler keep the sums of a tile in registers. */
#define APART static __attribute__((noinline))
#define UNROLL _Pragma("GCC unroll 32")
/* Stores before this are made before tiles are loaded: the intrinsics of GCC 12 don't tell it that they read memory. */
INLINE void written(void) { __asm__ volatile("" : : : "memory"); }
#define JOINED(name, suffix) name##suffix
#define NAMED(name, suffix) JOINED(name, suffix)
#define NAME(name) NAMED(name, SUFFIX)

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#define SUFFIX _avx512vnni
#define LANES 16
#define VECTORS 4
#define MATRICES 0
#define BFLOAT 0
#include "kernel.h"
#undef SUFFIX
#undef BFLOAT
#undef VECTORS
#undef MATRICES
#if KNOWS_AMX
#pragma GCC target("amx-tile,amx-int8,amx-bf16,avx512bf16")
#define VECTORS 2
#define MATRICES 1
#define SUFFIX _amx
#define BFLOAT 0
#include "kernel.h"
#undef SUFFIX
#undef BFLOAT
#define SUFFIX _amxbf16
#define BFLOAT 1
#include "kernel.h"
#undef SUFFIX
#undef BFLOAT
#undef VECTORS
#undef MATRICES
#endif
#undef LANES
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#define SUFFIX _avx2
#define LANES 8
#define VECTORS 2
#define MATRICES 0
#define BFLOAT 0
#include "kernel.h"
#undef SUFFIX
#undef LANES
#undef VECTORS
#undef MATRICES
#undef BFLOAT
#pragma GCC pop_options

#if KNOWS_AMX
/* Whether the processor has AMX and the system lets this process use its tiles: Linux wants to be asked. */
static int allowed_amx(void) {
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-int8") &&
           __builtin_cpu_supports("amx-bf16") && __builtin_cpu_supports("avx512bf16") &&
           !syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA);
}

/* Eight tiles of 16 rows by 64 bytes. Tiles belong to a thread, and others in it may have set them otherwise. */
static void set_tiles(void) {
    struct {
        uint8_t palette, first_row, unused[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) shapes.bytes[i] = 64, shapes.rows[i] = 16;
    /* The intrinsic of GCC 12 tells the compiler of the first eight bytes alone. */
    __asm__ volatile("ldtilecfg %0" : : "m"(shapes));
}

static void free_tiles(void) { __asm__ volatile("tilerelease"); }
#else
static int allowed_amx(void) { return 0; }
#endif
#endif

/* Of the functions and structures here: a library that was built from other sources must not be called. */
int amends_version(void) { return 2; }

/* The best kernel of 8 bits that this machine runs. */
int amends_best(void) {
#if HERE
    __builtin_cpu_init();
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    const int avx512 = __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    return !avx2 ? NONE : !avx512 ? AVX2 : !allowed_amx() ? AVX512 : AMX;
#else
    return 0;
#endif
}

/* The kernel of bfloat16, if this machine runs it. */
int amends_bfloat(void) {
#if HERE
    return amends_best() == AMX ? AMX_BFLOAT : NONE;
#else
    return 0;
#endif
}

#if HERE
/* Bytes that amends_encode works in, for texts of so many tokens together and the longest of them. */
size_t amends_room(const Model *m, int32_t kernel, int32_t tokens, int32_t longest) {
    const size_t size = kernel == AMX_BFLOAT ? 2 : 1;
    return (size_t)tokens * 4 * m->width + whole_blocks(tokens) * (3 * 4 * m->width + (m->width + m->inner) * size) +
           attention_room(longest) + 64;
}

/* ids of all texts one after the other (tokens,), tokens of each text (texts,) -> states (tokens, width).
 * kernel: one that this machine runs. room: of amends_room bytes. ticks: PARTS counters to add to, or NULL. */
void amends_encode(const Model *m, int32_t kernel, const int32_t *ids, const int32_t *lengths, int32_t texts, float *states,
                   char *room, uint64_t *ticks) {
    uint64_t unread[PARTS] = {0};
    if (!ticks) ticks = unread;
#if KNOWS_AMX
    if (kernel == AMX || kernel == AMX_BFLOAT) {
        set_tiles();
        (kernel == AMX ? encode_amx : encode_amxbf16)(m, ids, lengths, texts, states, room, ticks);
        free_tiles();
        return;
    }
#endif
    if (kernel == AVX512)
        encode_avx512vnni(m, ids, lengths, texts, states, room, ticks);
    else
        encode_avx2(m, ids, lengths, texts, states, room, ticks);
}
#endif
