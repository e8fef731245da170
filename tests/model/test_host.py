import pytest

from model.host import features, host, processor_name


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu sse2 avx2 avx512f avx512_vnni", ("AVX2", "AVX-512", "AVX-512 VNNI")),
        ("avx512_bf16 amx_bf16 amx_int8", ("AVX-512 bfloat16", "AMX bfloat16", "AMX 8 bit")),
        ("fp asimd asimddp i8mm sve", ("Arm dot product", "Arm 8-bit matrices", "SVE")),
        ("fp asimd bf16", ("Arm bfloat16",)),
        ("hw.optional.arm.feat_dotprod hw.optional.arm.feat_i8mm", ("Arm dot product", "Arm 8-bit matrices")),
        ("avx2x", ()),
        ("", ()),
    ],
)
def test_flags_of_each_system_have_the_names_that_people_use(flags, expected):
    assert features(flags) == expected


def test_a_name_that_says_little_is_followed_by_family_and_model():
    assert processor_name({"model name": "AMD EPYC", "cpu family": "25", "model": "17"}).endswith(
        "(family 25, model 17)"
    )
    assert processor_name({"model name": "Cortex"}) == "Cortex"


@pytest.mark.parametrize(
    ("flags", "eight_bit", "bfloat"),
    [
        ("avx2 avx512f", None, None),
        ("avx512_vnni avx512_bf16", "AVX-512 VNNI", "AVX-512 bfloat16"),
        ("avx512_vnni avx512_bf16 amx_int8 amx_bf16", "AMX 8 bit", "AMX bfloat16"),
        ("asimddp bf16", "Arm dot product", "Arm bfloat16"),
    ],
)
def test_the_best_instructions_for_8_and_16_bits_are_named(tmp_path, flags, eight_bit, bfloat):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"model name : some\nflags : {flags}\n")
    here = host(tmp_path)
    assert (here.eight_bit, here.bfloat) == (eight_bit, bfloat)


def test_this_machine_has_cores_and_never_more_than_are_online():
    here = host()
    assert 1 <= here.cores <= here.online
    assert here.memory is None or here.memory > 0


def test_a_system_that_tells_nothing_is_no_error(tmp_path):
    here = host(tmp_path)
    assert (here.caches, here.memory, here.quota, here.memory_limit) == ({}, None, None, None)


def test_limits_of_a_container_and_caches_are_read(tmp_path):
    cgroup, cache = tmp_path / "sys/fs/cgroup", tmp_path / "sys/devices/system/cpu/cpu0/cache/index2"
    cgroup.mkdir(parents=True)
    cache.mkdir(parents=True)
    (cgroup / "cpu.max").write_text("150000 100000\n")
    (cgroup / "memory.max").write_text("1073741824\n")
    for name, value in {"level": "2", "type": "Unified", "size": "1024K"}.items():
        (cache / name).write_text(value + "\n")
    here = host(tmp_path)
    assert (here.quota, here.memory_limit, here.caches) == (1.5, 2**30, {2: 2**20})
    assert here.cores <= 2
