"""Print the installed size of the dependencies, and what each extra adds to it.

Distributions of the current environment are measured, compiled Python files included: run it with
all extras installed, for example as ``.venv/bin/python .ci/extra_sizes.py``.
"""

from distributions import installed_files, needed_distributions

EXTRAS = ("plot", "images", "maps", "files", "save", "demo", "test")


def megabytes(names: set[str], distributions: dict) -> int:
    """Return the rounded size of some distributions in MB (1e6 bytes)."""
    n_bytes = sum(
        path.stat().st_size for name in names for path in installed_files(distributions[name])
    )
    return round(n_bytes / 1e6)


def main() -> None:
    """Print one line for torch, one for the other dependencies, and one for each extra."""
    core = needed_distributions()
    torch_version = core["torch"].version
    print(f"{f'torch {torch_version}':22} {megabytes({'torch'}, core):6,} MB")
    others = set(core) - {"torch"}
    sizes = {name: megabytes({name}, core) for name in others}
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
    print(f"{'other dependencies':22} {megabytes(others, core):6,} MB, {len(others)} packages")
    print("  largest: " + ", ".join(f"{name} {sizes[name]} MB" for name in largest))
    for extra in EXTRAS:
        wanted = needed_distributions(extra)
        added = set(wanted) - set(core)
        label = f"[{extra}] adds"
        print(f"{label:22} {megabytes(added, wanted):6,} MB, {len(added)} packages")


if __name__ == "__main__":
    main()
