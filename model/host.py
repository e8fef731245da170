"""What the machine offers: processor features, caches, cores and memory, as far as the system tells.

Read when asked, never on import; a system that tells nothing gives empty answers and nothing fails.
"""

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path

CPUINFO = "proc/cpuinfo"
MEMINFO = "proc/meminfo"
CACHES = "sys/devices/system/cpu/cpu0/cache"
CGROUP = "sys/fs/cgroup"
ROOT = Path("/")
# Flags of Linux (x86, Arm) and names of macOS, under the names that people use.
FEATURES = {
    "AVX2": ("avx2", "hw.optional.avx2_0"),
    "AVX-512": ("avx512f", "hw.optional.avx512f"),
    "AVX-512 VNNI": ("avx512_vnni", "hw.optional.avx512vnni"),
    "AVX-VNNI": ("avx_vnni",),
    "AVX-512 bfloat16": ("avx512_bf16",),
    "AMX bfloat16": ("amx_bf16",),
    "AMX 8 bit": ("amx_int8",),
    "Arm dot product": ("asimddp", "hw.optional.arm.feat_dotprod"),
    "Arm 8-bit matrices": ("i8mm", "hw.optional.arm.feat_i8mm"),
    "Arm bfloat16": ("bf16", "hw.optional.arm.feat_bf16"),
    "SVE": ("sve",),
}
# Instructions that multiply 8-bit numbers and add the products in one step, the best first.
EIGHT_BIT = ("AMX 8 bit", "Arm 8-bit matrices", "AVX-512 VNNI", "AVX-VNNI", "Arm dot product")
# The same for numbers of 16 bits with the range of floats.
BFLOAT = ("AMX bfloat16", "AVX-512 bfloat16", "Arm bfloat16")


@dataclass(frozen=True)
class Host:
    """One machine. cores: that this process may use. caches: bytes by level, data or unified. memory: bytes."""

    processor: str
    architecture: str
    features: tuple[str, ...]
    cores: int
    online: int
    quota: float | None
    caches: Mapping[int, int]
    memory: int | None
    available: int | None
    memory_limit: int | None

    @property
    def eight_bit(self) -> str | None:
        """The best instruction for 8-bit products; None where they are made of several."""
        return next((name for name in EIGHT_BIT if name in self.features), None)

    @property
    def bfloat(self) -> str | None:
        """The best instruction for products in bfloat16; None where they are slower than in floats."""
        return next((name for name in BFLOAT if name in self.features), None)


def host(root: Path = ROOT) -> Host:
    """The machine that runs it, in a few milliseconds. root: of the file system that tells."""
    info = _cpuinfo(root)
    memory = _meminfo(root)
    online = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else online
    quota = cpu_quota(root)
    return Host(
        processor=processor_name(info),
        architecture=platform.machine(),
        features=features(info.get("flags") or info.get("features") or ""),
        cores=allowed if quota is None else min(allowed, ceil(quota)),
        online=online,
        quota=quota,
        caches=_caches(root),
        memory=memory.get("MemTotal"),
        available=memory.get("MemAvailable"),
        memory_limit=memory_limit(root),
    )


def features(flags: str) -> tuple[str, ...]:
    """Names of FEATURES that are among the flags, words with spaces between."""
    words = set(flags.lower().split())
    return tuple(name for name, known in FEATURES.items() if words.intersection(known))


def processor_name(info: Mapping[str, str]) -> str:
    """What the processor calls itself, with family and model where the name alone says little."""
    name = info.get("model name") or info.get("hardware") or platform.processor() or "unknown"
    if "cpu family" not in info:
        return name
    return f"{name} (family {info['cpu family']}, model {info.get('model', '?')})"


def cpu_quota(root: Path = ROOT) -> float | None:
    """Cores that the container may use on average; None without a limit."""
    try:
        quota, period = (root / CGROUP / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def memory_limit(root: Path = ROOT) -> int | None:
    """Bytes that the container may use; None without a limit."""
    try:
        return int((root / CGROUP / "memory.max").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _cpuinfo(root: Path) -> dict[str, str]:
    """The first processor of /proc/cpuinfo; on a Mac the same from sysctl; empty elsewhere."""
    try:
        lines = (root / CPUINFO).read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
        return {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    except OSError:
        return _sysctl()


def _sysctl() -> dict[str, str]:
    if platform.system() != "Darwin":
        return {}
    try:
        listed = subprocess.run(["/usr/sbin/sysctl", "-a"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    pairs = {k: v.strip() for k, _, v in (line.partition(":") for line in listed.stdout.splitlines())}
    present = [k.lower() for k, v in pairs.items() if k.startswith("hw.optional.") and v == "1"]
    return {"model name": pairs.get("machdep.cpu.brand_string", ""), "flags": " ".join(present)}


def _meminfo(root: Path) -> dict[str, int]:
    try:
        lines = (root / MEMINFO).read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    found = (re.match(r"(\w+):\s+(\d+) kB", line) for line in lines)
    return {m[1]: int(m[2]) * 1024 for m in found if m}


def _caches(root: Path) -> dict[int, int]:
    """Bytes of the caches that hold data, by level, as the first core sees them."""
    found = {}
    for folder in sorted((root / CACHES).glob("index*")):
        try:
            level, kind, size = ((folder / n).read_text(encoding="ascii").strip() for n in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction":
            found[int(level)] = int(size[:-1]) * {"K": 2**10, "M": 2**20}[size[-1]]
    return found
